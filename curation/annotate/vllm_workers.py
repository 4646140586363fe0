"""The workers before and after vLLM: turn shards into requests, and responses back into shards.

`ray.data.llm` runs between these workers and takes one row for each request (see
`cluster.vllm_stage`). Like the other workers, they do not depend on Ray.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from curation.annotate import metrics
from curation.annotate.captioning import add_candidates, clip_seed
from curation.annotate.clip import AnnotatedClip, PlannedClip
from curation.annotate.load import split_chunks
from curation.annotate.task import Task
from curation.annotate.worker_models import WorkerModels
from curation.annotate.workers import (
    Clips,
    Row,
    Spans,
    TaskOutput,
    load_all_clips,
    read_planned_clips,
    run_task,
)
from curation.config.models import VllmConfig
from curation.config.run import RunConfig
from curation.models.captioners.build import build_captioner
from curation.models.captioners.vllm import VllmCaptioner
from curation.models.captioners.vllm_requests import VllmResponse
from curation.run.evidence import WorkSpan
from curation.schema import Failure

# The stages of ray.data.llm hand a row on as it is where this column is not empty, and fill it
# where a request fails.
ERROR_COLUMN = "__inference_error__"
_SHARD_ROW = "the row of a shard, which is no request"


class VllmRequestWorker:
    """The worker of the pool before vLLM: turns a task into a row for the shard, and requests.

    The row of the shard has the tagged clips and the number of requests, and bypasses vLLM. Each
    other row is a request to vLLM.
    """

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=False, tag=True)
        self.loader = self.models.build_loader()
        self._captioner = build_vllm_captioner(config)
        self._captioner.load_processor()

    def __call__(self, row: Row) -> Iterator[Row]:
        clips: Clips = []

        def work(task: Task, _: Clips, __: Spans) -> TaskOutput:
            clips.extend(self.run(read_planned_clips(self.models.run, task)))
            return TaskOutput(clips)

        shard = run_task(row, "decode", work)
        numbers = range(self._captioner.config.candidates)
        to_caption = {place: clip for place, clip in enumerate(clips) if not clip.failure}
        yield {
            **shard,
            "request_count": len(to_caption) * len(numbers),
            ERROR_COLUMN: _SHARD_ROW,
        }
        for position, clip in to_caption.items():
            yield from self._build_requests(row["task"], position, clip, numbers)

    def run(self, planned: Sequence[PlannedClip]) -> Clips:
        """Read, decode and tag clips."""
        loaded = load_all_clips(self.models, self.loader, planned)
        tagged: Clips = []
        with self.models.lock.register() as handle:
            handle.acquire()
            for part in split_chunks(loaded):
                [chunk] = self.models.verify(self.models.tag([self.models.cutter.cut(part)]))
                tagged += chunk.clips
        return [clip if clip.failure else self.models.add_guidance([clip])[0] for clip in tagged]

    def _build_requests(
        self, task: str, position: int, clip: AnnotatedClip, numbers: range
    ) -> Iterator[Row]:
        rate_hz = self._captioner.sample_rate_hz
        seed = clip_seed(self.models.config.seed, clip.clip_id)
        requests = self._captioner.build_requests(
            clip.waveform(rate_hz), list(clip.guidance), seed, numbers
        )
        for number, request in zip(numbers, requests, strict=True):
            yield {
                "task": task,
                "position": position,
                "number": number,
                "prompt": request.prompt,
                "multimodal_data": {"audio": (request.sound, rate_hz)},
                "sampling_params": request.sampling,
                ERROR_COLUMN: "",
            }


def build_response_row(row: Row) -> Row:
    """Return the fields of a vLLM response that `VllmResponseCollector` needs."""
    drawn = [next(iter(token.values())) for token in row["logprobs"]]
    return {
        "task": row["task"],
        "position": row["position"],
        "number": row["number"],
        "text": row["generated_text"],
        "log_probs": [float(token["logprob"]) for token in drawn],
    }


@dataclass
class _PartialShard:
    """What has come of a shard: its own row, and responses by clip position and candidate."""

    row: Row | None = None
    responses: dict[tuple[int, int], VllmResponse | Failure] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.row is not None and len(self.responses) == self.row["request_count"]


class VllmResponseCollector:
    """The worker after vLLM: collects all rows of a shard, and adds the captions to its clips.

    There is one such worker. If it dies, the shards that it has not completed are lost. They have
    no evidence, so they are annotated again.
    """

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory, engines: int) -> None:
        """`engines`: the maximum number of actors with vLLM."""
        self._meter = make_meter()
        self._captioner = build_vllm_captioner(config)
        self._engines = engines
        self._partial: dict[str, _PartialShard] = {}

    def __call__(self, row: Row) -> list[Row]:
        task = row["task"]
        shard = self._partial.setdefault(task, _PartialShard())
        if row[ERROR_COLUMN] == _SHARD_ROW:
            shard.row = row
        else:
            shard.responses[row["position"], row["number"]] = _parse_response(row)
        return [self._caption_shard(self._partial.pop(task))] if shard.complete else []

    def _caption_shard(self, shard: _PartialShard) -> Row:
        assert shard.row is not None

        def work(task: Task, clips: Clips, spans: Spans) -> TaskOutput:
            # It is not known which engine had a request; all had the shard from first to last.
            sent_s = spans[-2].ended_s
            spans[-1] = WorkSpan("caption", f"vllm-{task.shard % self._engines}", sent_s, sent_s)
            self._meter.record(metrics.STAGE_SECONDS, time.time() - sent_s, stage="caption")
            return TaskOutput(self._add_captions(clips, shard.responses))

        columns = ("task", "error", "disk_full", "spans", "clips")
        return run_task({name: shard.row[name] for name in columns}, "caption", work)

    def _add_captions(
        self, clips: Clips, responses: dict[tuple[int, int], VllmResponse | Failure]
    ) -> Clips:
        numbers = range(self._captioner.config.candidates)
        captioned = list(clips)
        for position in sorted({position for position, _ in responses}):
            clip = clips[position]
            given = [responses[position, number] for number in numbers]
            result = self._captioner.parse_responses(given, list(clip.guidance))
            captioned[position] = add_candidates(clip, result)
        return captioned


def _parse_response(row: Row) -> VllmResponse | Failure:
    if row[ERROR_COLUMN]:
        kind, _, message = row[ERROR_COLUMN].partition(": ")
        return Failure("caption", kind, message)
    return VllmResponse(row["text"], list(row["log_probs"]))


def build_vllm_captioner(config: RunConfig) -> VllmCaptioner:
    """Build the captioner of a run, which must be of kind `vllm`."""
    assert isinstance(config.captioner, VllmConfig)
    captioner = build_captioner(config.captioner)
    assert isinstance(captioner, VllmCaptioner)
    return captioner
