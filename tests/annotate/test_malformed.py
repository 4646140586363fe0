"""A thousand damaged files through one worker: a row each, a true reason, bounded memory."""

import json
import subprocess
import sys
from typing import get_args

from curation.audio.errors import AudioErrorKind
from tests.support.malformed import write_formats, write_malformed
from tests.support.paths import REPOSITORY

CLIPS = 1000
# What damaged files may take beyond undamaged ones, though a header may state gigabytes. Measured:
# 170 MB.
MAX_EXCESS_KB = 500_000


def test_a_thousand_malformed_files(tmp_path):
    undamaged, damaged = tmp_path / "undamaged", tmp_path / "damaged"
    (undamaged / "audio").mkdir(parents=True)
    (damaged / "audio").mkdir(parents=True)
    formats = write_formats(tmp_path)
    for extension, data in formats.items():
        (undamaged / "audio" / f"whole.{extension}").write_bytes(data)
    write_malformed(damaged / "audio", CLIPS, seed=14)
    expected, found = annotate(undamaged, len(formats)), annotate(damaged, CLIPS)
    assert [row["outcome"] for row in expected["rows"] if row["outcome"] == "error"] == []
    rows = found["rows"]
    assert len({row["clip_id"] for row in rows}) == len(rows) == CLIPS
    errors = [row["error"] for row in rows if row["outcome"] == "error"]
    assert {error["stage"] for error in errors} == {"decode"}
    # No kind is the name of an exception: each fault was foreseen.
    assert {error["type"] for error in errors} <= set(get_args(AudioErrorKind))
    assert 300 < len(errors) < 900
    assert found["peak_kb"] - expected["peak_kb"] < MAX_EXCESS_KB


def annotate(folder, clips):
    """The rows and the memory of a worker that annotates the files of a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.malformed", str(folder), str(clips)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
