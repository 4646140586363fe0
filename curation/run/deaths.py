"""Records deaths of workers that no clip explains, to limit the attempts of all drivers together.

Each death is a file `deaths/shard-00012-<unique>.json` in the run folder, written once and never
changed. The records do not affect a shard with evidence. Delete the folder `deaths` to try its
shards again.
"""

import json
import re
import uuid
from collections import Counter

from curation.run.layout import RunFolder
from curation.uris import join_uri

_NAME = re.compile(r"shard-(\d{5,})-\w+\.json$")


def deaths_uri(run: str) -> str:
    return join_uri(run, "deaths")


def record_death(run: RunFolder, shard: int, cause: str) -> None:
    """Record that a worker died on a shard, and that no single clip explains the death."""
    name = f"shard-{shard:05d}-{uuid.uuid4().hex}.json"
    data = json.dumps({"shard": shard, "cause": cause}).encode() + b"\n"
    run.storage.put_new(join_uri(deaths_uri(run.uri), name), data)


def read_death_cause(run: RunFolder, shard: int) -> str:
    """Read the cause of one recorded death of a shard; at least one must be recorded."""
    names = (file.uri for file in run.storage.list_files(deaths_uri(run.uri)))
    files = [uri for uri in names if (name := _NAME.search(uri)) and int(name.group(1)) == shard]
    cause: str = json.loads(run.storage.read_bytes(files[-1]))["cause"]
    return cause


def count_deaths(run: RunFolder) -> Counter[int]:
    """Count the recorded deaths by shard."""
    names = (_NAME.search(file.uri) for file in run.storage.list_files(deaths_uri(run.uri)))
    return Counter(int(name.group(1)) for name in names if name)
