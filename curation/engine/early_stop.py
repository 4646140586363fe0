"""Records why a run stopped after its first clips failed, and decides whether it may start again.

`first_clips_failed.json` in the run folder has the reason and a hash of the possible causes:
configuration, plan, models and code. While the hash is unchanged, the same command would load
every model only to fail again. But the hash does not cover the audio files and the storage, which
may have been repaired. Before the command is refused, a few of the clips are therefore loaded. If
they can be decoded now, the run starts.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from typing import NoReturn

from curation.annotate.clip import parse_planned_clips
from curation.annotate.common_failure import CommonFailure
from curation.annotate.load import DecodeSettings, load_clip
from curation.config.run import RunConfig
from curation.errors import FirstClipsFailedError
from curation.models import run_models
from curation.redact import redact_secrets
from curation.run import layout, plan
from curation.run.layout import RunFolder
from curation.run.record import RunRecord, read_package_versions
from curation.storage.files import Storage

FIRST_CLIPS = 64
_MAX_MESSAGE_CHARS = 500
# The clips that are loaded again, and how long one that cannot be read is tried.
_RELOADED_CLIPS = 4
_RELOAD_TIMEOUT_S = 2.0

_ADVICE = {
    "read": "Check that every worker reaches the audio: paths, mounts, endpoint, credentials",
    "decode": "Check that the files are whole and hold sound, as by ffprobe",
    "tag": "Check the tagger, and the scorer where tags are verified: tagscribe models check",
    "caption": "Check the captioner: tagscribe models check",
    "score": "Check the scorers: tagscribe models check",
}


class EarlyStop:
    """Stops a run whose first clips failed, and refuses to restart it while nothing has changed."""

    def __init__(self, config: RunConfig, run: RunFolder, record: RunRecord) -> None:
        self._config, self._run, self._record = config, run, record
        self._uri = layout.early_stop_uri(run.uri)

    def stop(self, failure: CommonFailure, shard: int) -> NoReturn:
        """Record the failure of the first clips, and raise FirstClipsFailedError.

        `shard` is the shard with the first of these clips.
        """
        message = _describe(failure)
        data = {
            "fingerprint": self._fingerprint(),
            "failure": asdict(failure),
            "shard": shard,
            "message": message,
        }
        self._run.storage.put(self._uri, json.dumps(data, indent=2).encode() + b"\n")
        raise FirstClipsFailedError(
            f"{message}. None of them is written: once something has changed, the same command "
            "begins with them again"
        )

    def require_change(self) -> None:
        """Raise FirstClipsFailedError if the run was stopped and nothing has changed since then."""
        try:
            data = json.loads(self._run.storage.read_bytes(self._uri))
        except FileNotFoundError:
            return
        failure = CommonFailure(**data["failure"])
        if data["fingerprint"] == self._fingerprint() and self._fails(failure, data["shard"]):
            raise FirstClipsFailedError(
                f"nothing has changed since this run was stopped: {data['message']}. "
                f"To try all the same, delete {self._uri}"
            )

    def clear(self) -> None:
        """Delete the record, because the run has continued."""
        with suppress(FileNotFoundError):
            self._run.storage.delete(self._uri)

    def _fails(self, failure: CommonFailure, shard: int) -> bool:
        """Whether clips still fail so, as far as that is seen without a model."""
        if failure.stage not in ("read", "decode"):
            return True
        rates_hz = run_models.build_run_models(self._config).sample_rates_hz
        settings = DecodeSettings(self._config.audio, rates_hz)
        hurried = {"read_retry_timeout_s": _RELOAD_TIMEOUT_S}
        storage = Storage(self._run.storage.settings.model_copy(update=hurried))
        planned = parse_planned_clips(plan.read_plan_shard(self._run, shard))
        with_audio = [clip for clip in planned if not clip.failure]
        loaded = (load_clip(storage, clip, settings) for clip in with_audio[:_RELOADED_CLIPS])
        return all(
            clip.failure
            and (clip.failure.stage, clip.failure.kind) == (failure.stage, failure.kind)
            for clip in loaded
        )

    def _fingerprint(self) -> str:
        decides = {
            "config": self._config.model_dump(mode="json"),
            "config_hash": self._record.config_hash,
            "plan_hash": self._record.plan_hash,
            "versions": read_package_versions(),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _describe(failure: CommonFailure) -> str:
    message = " ".join(redact_secrets(failure.message).split())[:_MAX_MESSAGE_CHARS]
    return (
        f"the first {FIRST_CLIPS} clips with audio all failed as {failure.name}; the first of "
        f"them, {failure.clip_id}: {message}. {_ADVICE[failure.stage]}. If such clips are to "
        "become error rows, set max_error_share: 1"
    )
