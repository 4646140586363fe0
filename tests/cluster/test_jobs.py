"""What `tagscribe submit` refuses before it speaks to a cluster: there is none here."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import ray
import yaml
from typer.testing import CliRunner

from curation.cli.main import app
from curation.cluster import jobs
from curation.errors import InputError

VALID = {"run": "s3://bucket/run", "catalog": {"kind": "folder", "audio": "s3://bucket/audio"}}


def write_run_yaml(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**VALID, **changes}))
    return str(path)


class BusyDashboard(BaseHTTPRequestHandler):
    """A dashboard that fails twice, as Ray's does where the head's agent takes too long."""

    failures = 2

    def do_GET(self) -> None:
        busy = self.path == "/api/jobs/" and BusyDashboard.failures > 0
        BusyDashboard.failures -= busy
        answers = {"/api/version": {"version": "4", "ray_version": ray.__version__}}
        body = json.dumps(answers.get(self.path, [])).encode()
        self.send_response(500 if busy else 200)
        self.end_headers()
        self.wfile.write(b"No available agent, please try again later." if busy else body)

    def log_message(self, *_: object) -> None:
        pass


def test_requests_to_a_busy_dashboard_are_sent_again() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BusyDashboard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = jobs.connect_to_cluster(f"http://127.0.0.1:{server.server_port}")
        assert jobs.list_jobs(client) == []
        assert BusyDashboard.failures == 0
        server.shutdown()


TOKENIZER_HERE = {
    "kind": "remote_code",
    "model": "me/captioner",
    "revision": "1",
    "trust_remote_code": True,
    "tokenizer": "./words",
}


@pytest.mark.parametrize("address", ["head:8265", "ray://head:10001", "auto"])
def test_an_address_that_is_no_dashboard_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="expected the URL of a Ray dashboard"):
        jobs.connect_to_cluster(address)


def test_no_dashboard_at_the_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2")
    with pytest.raises(InputError, match="http://127.0.0.1:1: no Ray dashboard answers there"):
        jobs.connect_to_cluster("http://127.0.0.1:1")


def test_the_address_can_come_from_rays_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    listed = CliRunner().invoke(app, ["jobs", "list"])
    assert "http://127.0.0.1:1: no Ray dashboard answers there" in str(listed.exception)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"run": "runs/mine"}, "run: runs/mine"),
        ({"catalog": {"kind": "folder", "audio": "sounds"}}, "catalog.audio: sounds"),
        ({"catalog": {"kind": "parquet", "data": "../x"}}, "catalog.data: ../x"),
        ({"captioner": {"model": "./captioner"}}, "captioner.model: ./captioner"),
        ({"scorer": {"model": "~/clap"}}, "scorer.model: ~/clap"),
        ({"second_scorer": {"model": "./clap"}}, "second_scorer.model: ./clap"),
        ({"tags": {"tagger": {"model": "./ast"}, "use": "both"}}, "tags.tagger.model: ./ast"),
        ({"captioner": TOKENIZER_HERE}, "captioner.tokenizer: ./words"),
        (
            {"catalog": {"kind": "audioset", "segments": "list.csv", "audio": "/a"}},
            "catalog.segments: list.csv",
        ),
    ],
)
def test_files_of_this_machine_are_refused(changes: dict, key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{key}: a path relative to this machine"):
        jobs.submit_job(write_run_yaml(tmp_path, **changes), None, [])


def test_a_directory_here_is_no_hub_id_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "clap").mkdir(parents=True)
    with pytest.raises(InputError, match="scorer.model: runs/clap: a path relative"):
        jobs.submit_job(write_run_yaml(tmp_path, scorer={"model": "runs/clap"}), None, [])


@pytest.mark.parametrize("variable", ["SECRET=value", "A B", "$(id)", ""])
def test_variables_come_by_name_alone(variable: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the name of a variable, without a value"):
        jobs.submit_job(write_run_yaml(tmp_path), None, [variable])
