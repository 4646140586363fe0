"""The metrics: the dashboard asks for no other, and a real run shows each of them to Prometheus."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from curation.annotate.metrics import METRICS, InMemoryMeter, list_exported_names
from curation.engine import driver
from curation.errors import InputError
from curation.processes.metrics_server import serve_metrics
from curation.run.catalog_plan import create_plan
from tests.fake_workers import SlowWorker
from tests.support.paths import REPOSITORY
from tests.support.runs import corpus_run

DASHBOARD = REPOSITORY / "ray_configs" / "grafana-dashboard.json"
PAGE = REPOSITORY / "docs" / "metrics.md"

# Runs a YAML on a Ray of its own, reads its metrics port all the while, and prints what it saw.
RUN_AND_SCRAPE = """
import sys, threading, time, urllib.request
import ray
from curation.annotate import pools
from curation.engine import driver
from curation.cluster.session import ray_session
from curation.annotate.metrics import FAILED_SECOND_DRAWS, RETRIES
from curation.cluster.metrics_export import RayMeter
from curation.run.catalog_plan import create_plan
from curation.run.config_file import read_run_config

config = read_run_config(sys.argv[1])
seen, missing = "", set(sys.argv[2:])

def scrape():
    global seen
    while missing:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{config.metrics_port}/metrics") as page:
                seen = page.read().decode()
        except OSError:
            pass
        for line in seen.splitlines():
            if line.startswith("ray_tagscribe") and line.split("{")[0] in missing:
                missing.discard(line.split("{")[0])
                print(line, flush=True)
        time.sleep(0.2)

@ray.remote(num_cpus=0)
class Retrying:
    def __init__(self):
        meter = RayMeter()
        meter.record(RETRIES, 2, cause="throttled")
        meter.record(FAILED_SECOND_DRAWS, 1, error="caption/RuntimeError")
    def wait(self):
        pass

create_plan(config)
with ray_session(
    "ray", pools.count_cpus_needed(config.annotate), metrics_port=config.metrics_port
):
    # Nothing on this machine needs to be tried again, so an actor says that it did.
    retrying = Retrying.remote()
    ray.get(retrying.wait.remote())
    watching = threading.Thread(target=scrape, daemon=True)
    watching.start()
    driver.annotate_run(config, lambda done, total: None)
    watching.join(60)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def exported_names() -> set[str]:
    return {name for metric in METRICS for name in list_exported_names(metric)}


def test_the_dashboard_queries_only_exported_metrics() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    names = {name for expr in queries for name in re.findall(r"ray_\w+", expr)}
    assert names <= exported_names()
    # And for each of them: none is exported for nothing.
    for metric in METRICS:
        assert names & set(list_exported_names(metric)), f"{metric} is in no panel"


def test_labels_in_the_dashboard_are_those_of_the_metrics() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels} | {"le"}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            used = re.findall(r"by \((\w+)\)", target["expr"])
            used += re.findall(r"\{(\w+)[!=]", target["expr"])
            used += re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert set(used) <= labels, target


def test_the_page_names_every_metric() -> None:
    exported = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    for metric, described in METRICS.items():
        names = (
            {f"ray_{metric}"} if described.kind == "histogram" else set(list_exported_names(metric))
        )
        assert names <= exported
    assert len(exported) == len(METRICS)


def test_an_in_memory_meter_keeps_what_it_records() -> None:
    tally = InMemoryMeter()
    tally.record("tagscribe_stage_seconds", 0.5, stage="read")
    tally.record("tagscribe_stage_seconds", 0.25, stage="read")
    assert tally.values("tagscribe_stage_seconds", stage="read") == [0.5, 0.25]
    assert tally.values("tagscribe_stage_seconds", stage="score") == []


@pytest.mark.usefixtures("own_ray")
def test_a_run_shows_its_metrics(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="Ray exports nothing without ray[default]")
    port = free_port()
    section = {"shard_clips": 10, "actors": 1}
    config = corpus_run(
        corpus, tmp_path / "run", cluster="ray", metrics_port=port, annotate=section
    )
    yaml_file = tmp_path / "run.yaml"
    yaml_file.write_text(json.dumps(config.model_dump(mode="json")))
    environment = {**os.environ, "RAY_metrics_report_interval_ms": "500"}
    environment.pop("RAY_ADDRESS", None)
    ended = subprocess.run(
        [sys.executable, "-c", RUN_AND_SCRAPE, yaml_file, *sorted(exported_names())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    seen = {re.split(r"[{ ]", line)[0]: line for line in ended.stdout.splitlines()}
    assert set(seen) == exported_names()
    assert 'cause="throttled"' in seen["ray_tagscribe_retries_total"]
    assert float(seen["ray_tagscribe_run_clips_planned"].split()[-1]) == 40


def read_page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        return str(page.read().decode())


def test_local_processes_export_every_metric_by_the_same_names() -> None:
    port = free_port()
    with serve_metrics(port) as meter:
        for name, metric in METRICS.items():
            meter.record(name, 2, **dict.fromkeys(metric.labels, "some"))
        page = read_page(port)
    assert {re.split(r"[{ ]", line)[0] for line in page.splitlines()} >= exported_names()
    assert 'ray_tagscribe_clips_total{outcome="some"} 2.0' in page
    assert 'ray_tagscribe_batch_clips_bucket{le="2.0"} 1.0' in page


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"metrics_port: {port}: cannot be opened"):
            with serve_metrics(port):
                pass


def test_a_run_on_local_processes_shows_its_metrics(corpus: Path, tmp_path: Path) -> None:
    port = free_port()
    config = corpus_run(corpus, tmp_path / "run", metrics_port=port)
    create_plan(config)
    pages: list[str] = []

    def scrape() -> None:
        while not pages or "ray_tagscribe_clips_total{" not in pages[-1]:
            with suppress(OSError):
                pages.append(read_page(port))
            time.sleep(0.05)

    scraping = threading.Thread(target=scrape, daemon=True)
    scraping.start()
    driver.annotate_run(config, lambda done, total: None, SlowWorker)
    scraping.join(10)
    seen = {line.rsplit(maxsplit=1)[0]: line for line in pages[-1].splitlines()}
    assert float(seen['ray_tagscribe_clips_total{outcome="ok"}'].split()[-1]) >= 10
    assert float(seen['ray_tagscribe_stage_seconds_total{stage="decode"}'].split()[-1]) > 0
    assert float(seen["ray_tagscribe_run_clips_planned"].split()[-1]) == 40
