"""Arrow schemas of clips, evidence and pairs, and constants that name outcomes."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

TAG_TYPE = pa.struct(
    [
        ("mid", pa.string()),
        ("name", pa.string()),
        ("confidence", pa.float32()),
        ("origin", pa.string()),
    ]
)

CANDIDATE_TYPE = pa.struct(
    [
        ("caption", pa.string()),
        ("method", pa.string()),
        ("log_prob", pa.float32()),
        ("clap_score", pa.float32()),
        ("second_score", pa.float32()),
    ]
)

ERROR_TYPE = pa.struct([("stage", pa.string()), ("type", pa.string()), ("message", pa.string())])

# A clip as a catalog lists it. `uri` is null when the clip is listed but its audio is missing;
# `start_s` and `end_s` are the segment to cut from `uri`, null for its beginning and its end.
CLIP_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("uri", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("tags", pa.list_(TAG_TYPE), nullable=False),
    ]
)

PLAN_SCHEMA = CLIP_SCHEMA.insert(0, pa.field("shard", pa.int32(), nullable=False))

# One row a clip. `start_s` and `end_s` are the decoded segment; levels are measured on it.
# `tag_scores` are the CLAP scores of the names of `tags`, null where tags were not verified;
# `scorer_agreement` is Spearman's correlation of both scorers over the candidates, null where there
# is one scorer or fewer than two candidates.
EVIDENCE_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("uri", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("duration_s", pa.float64()),
        pa.field("sample_rate_hz", pa.int32()),
        pa.field("peak_dbfs", pa.float32()),
        pa.field("rms_dbfs", pa.float32()),
        pa.field("audio_sha256", pa.string()),
        pa.field("tags", pa.list_(TAG_TYPE), nullable=False),
        pa.field("tag_scores", pa.list_(pa.float32())),
        pa.field("guidance", pa.list_(pa.string()), nullable=False),
        pa.field("candidates", pa.list_(CANDIDATE_TYPE), nullable=False),
        pa.field("scorer_agreement", pa.float32()),
        pa.field("audio_embedding", pa.list_(pa.float16())),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("error", ERROR_TYPE),
    ]
)

AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# One row an accepted (clip, caption) pair. `log_prob` is null where the captioner has none.
PAIR_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("clap_score", pa.float32(), nullable=False),
        pa.field("log_prob", pa.float32()),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("tags", pa.list_(TAG_TYPE), nullable=False),
        pa.field("guidance", pa.list_(pa.string()), nullable=False),
        pa.field("captioner", pa.string(), nullable=False),
        pa.field("scorer", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
    ]
)

PAIR_SCHEMA_WITH_AUDIO = PAIR_SCHEMA.append(pa.field("audio", AUDIO_TYPE, nullable=False))

OK = "ok"
ERROR = "error"

Stage = Literal["catalog", "read", "decode", "tag", "caption", "score", "worker"]


@dataclass(frozen=True)
class Tag:
    """An AudioSet class of a clip; `origin` is "human" (listed) or "predicted" (by a tagger)."""

    mid: str
    name: str
    confidence: float = 1.0
    origin: str = "human"


@dataclass(frozen=True)
class Failure:
    """Why a clip has no captions: the stage that failed, the kind of error, and the message."""

    stage: Stage
    kind: str
    message: str
