"""`python -m tests.aborting RUN_YAML NAME`: plan and annotate, with a decoder that aborts on NAME.

No file is known that makes the real decoders abort, so the workers' one is replaced.
"""

import os
import sys

import ray

from curation import annotate, audio, planning
from curation.config import load

NAME = "TAGSCRIBE_TEST_ABORT_ON"


def install() -> None:
    decode = audio.decode

    def aborting(data: bytes, name: str, *rest: object) -> audio.Decoded:
        if os.environ[NAME] in name:
            os.abort()
        return decode(data, name, *rest)  # type: ignore[arg-type]

    audio.decode = aborting  # type: ignore[assignment]


if __name__ == "__main__":
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={
            "worker_process_setup_hook": "tests.aborting.install",
            "env_vars": {NAME: sys.argv[2]},
        },
    )
    config = load(sys.argv[1])
    planning.make_plan(config)
    annotate.annotate(config, lambda done, total: None)
