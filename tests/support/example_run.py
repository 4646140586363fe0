"""Makes the small run folder of the present format that tests/ops/test_formats.py opens.

    python -m tests.support.example_run

It is made once a format (docs/formats.md) and then never changed: what later versions do with it is
the test. Four procedural clips in two shards, with evidence, decisions and a version of the table.
"""

import shutil
import tempfile
from pathlib import Path

from curation.run import driver_state, evidence, footer_cache
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import RUN_FORMAT, require_run_record
from curation.select import apply
from curation.synth.corpus import write_corpus
from tests.support.in_process import annotate_in_process
from tests.support.paths import REPOSITORY

FOLDER = REPOSITORY / "tests" / "data" / f"run_format_{RUN_FORMAT}"
# A path that says nothing of the machine; the clips are not there when the run is opened.
CORPUS = Path(tempfile.gettempdir()) / "tagscribe-example"
CLIPS = 4


def main() -> None:
    if FOLDER.exists():
        raise SystemExit(f"{FOLDER} is there already, and is never changed")
    write_corpus(str(CORPUS), clips=CLIPS, seed=1)
    config = parse_run_config(
        {
            "run": str(CORPUS / "run"),
            "catalog": {
                "kind": "audioset",
                "segments": str(CORPUS / "segments_noisy.csv"),
                "audio": str(CORPUS / "audio"),
            },
        },
        "example",
    )
    folder = RunFolder.from_config(config)
    with driver_state.record_driver_state(folder):
        annotate_in_process(config)
    parts = footer_cache.FooterCacheWriter(folder, require_run_record(folder).shards, [])
    parts.write_full_parts(evidence.list_evidence_files(folder))
    apply.select_pairs(config)
    shutil.copytree(config.run, FOLDER)
    shutil.rmtree(CORPUS)


if __name__ == "__main__":
    main()
