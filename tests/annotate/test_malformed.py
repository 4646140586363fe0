"""A thousand damaged files through one worker: a row each, a true reason, bounded memory."""

import json
import subprocess
import sys
from typing import get_args

from curation.audio.errors import AudioErrorKind
from tests.support.malformed import write_malformed
from tests.support.paths import REPOSITORY

CLIPS = 1000
# A segment may decode to 512 MiB over its channels; what is kept of it is less.
MAX_GROWTH_KB = 1_500_000


def test_a_thousand_malformed_files(tmp_path):
    audio = tmp_path / "audio"
    audio.mkdir()
    write_malformed(audio, CLIPS, seed=14)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.malformed", str(tmp_path), str(CLIPS)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    rows = found["rows"]
    assert len({row["clip_id"] for row in rows}) == len(rows) == CLIPS
    errors = [row["error"] for row in rows if row["outcome"] == "error"]
    assert {error["stage"] for error in errors} == {"decode"}
    # No kind is the name of an exception: each fault was foreseen.
    assert {error["type"] for error in errors} <= set(get_args(AudioErrorKind))
    assert 300 < len(errors) < 900
    assert found["peak_kb"] - found["before_kb"] < MAX_GROWTH_KB
