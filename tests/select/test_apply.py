"""Selection reads what any captioner left in the evidence."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from curation import table
from curation.cli import show
from curation.config.policy import Policy
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.run import evidence, layout
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.select.apply import select_pairs
from curation.storage.files import Storage
from tests.support.runs import copy_run, planned_run, write_yaml


def test_captions_without_log_probabilities_are_selected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = planned_run(tmp_path, clips=1, shard_clips=1)
    row = {
        "clip_id": "clip00000",
        "uri": "/0.wav",
        "start_s": 0.0,
        "end_s": 1.0,
        "tags": [],
        "guidance": [],
        "candidates": [
            {"caption": "a bell rings", "method": "beam", "log_prob": None, "clap_score": 0.5},
            {"caption": "a bell hums", "method": "sample", "log_prob": None, "clap_score": 0.4},
        ],
        "outcome": "ok",
    }
    evidence.write_evidence_shard(
        RunFolder.from_config(config), 0, pa.Table.from_pylist([row], EVIDENCE_SCHEMA), []
    )
    assert select_pairs(config).clips_accepted == 1
    [pair] = table.read_pairs(Storage(), layout.table_uri(config.run)).to_pylist()
    assert (pair["caption"], pair["log_prob"]) == ("a bell rings", None)
    show.print_table_versions(RunFolder.from_config(config), None, 5)
    show.print_clip(RunFolder.from_config(config), "clip00000")
    printed = capsys.readouterr().out
    assert "0.500" in printed and "log_prob" in printed and "a bell hums" in printed
    by_log_prob = config.model_copy(update={"select": Policy(score="log_prob")})
    with pytest.raises(InputError, match="2 of 2 candidates have no log-probability"):
        select_pairs(by_log_prob)


def test_plan_and_select_import_nothing_that_local_files_do_without(
    undisturbed: RunConfig, tmp_path: Path
) -> None:
    yaml_file = write_yaml(copy_run(undisturbed, tmp_path / "run"), tmp_path)
    program = f"""
import sys
from curation.run import catalog_plan
from curation.run.config_file import read_run_config
from curation.select import apply
config = read_run_config({str(yaml_file)!r})
catalog_plan.create_plan(config)
assert apply.select_pairs(config).version.rows == 20
slow = {{"torch", "ray", "av", "soundfile", "fsspec", "aiohttp", "botocore", "obstore"}}
assert not slow & sys.modules.keys(), slow & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
