"""The workers before and behind vLLM: shards become questions, and replies become shards again.

Between them is `ray.data.llm`, which takes a row for each question (see `vllm_stage`); like the
other workers these know nothing of Ray.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from curation.annotate import metrics, stages
from curation.annotate.task import Task
from curation.annotate.worker_models import Clips, WorkerModels
from curation.annotate.workers import Row, Spans, clips_of, decode, step
from curation.audio.waveform import from_int16
from curation.config.models import VllmConfig
from curation.config.run import RunConfig
from curation.models.captioners.build import build_captioner
from curation.models.captioners.vllm import VllmCaptioner
from curation.models.captioners.vllm_requests import VllmResponse
from curation.run.evidence import WorkSpan
from curation.schema import Failure

# The stages of ray.data.llm hand a row on as it is where this column is not empty, and fill it
# where a request fails.
ERROR = "__inference_error__"
_SHARD = "a shard's own row, which asks nothing"


class VllmRequestWorker:
    """First pool: a shard's number becomes its row of decoded clips, tagged, and its questions.

    The row of the shard says how many questions there are, and passes vLLM by.
    """

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=False, tag=True)
        self.hearing = self.models.hearing()
        self._captioner = captioner_of(config)
        self._captioner.load_processor()

    def __call__(self, row: Row) -> Iterator[Row]:
        heard: dict[int, stages.Clip] = {}

        def work(task: Task, _: Clips, __: Spans) -> Clips:
            clips = self.run(clips_of(self.models.run, task))
            heard.update((place, clip) for place, clip in enumerate(clips) if not clip.failure)
            return clips

        shard = step(row, "decode", work)
        wanted = range(self._captioner.config.candidates)
        yield {**shard, "questions": len(heard) * len(wanted), ERROR: _SHARD}
        for place, clip in heard.items():
            yield from self._questions(row["task"], place, clip, wanted)

    def run(self, clips: Clips) -> Clips:
        """Read, decode and tag clips."""
        decoded = decode(self.models, self.hearing, clips)
        with self.models.lock.register() as turn:
            turn.acquire()
            for chunk in stages.chunks(decoded):
                self.models.tag(self.models.batches(chunk))
                self.models.guide([clip for clip in chunk if not clip.failure])
        return decoded

    def _questions(self, task: str, place: int, clip: stages.Clip, wanted: range) -> Iterator[Row]:
        rate_hz = self._captioner.sample_rate_hz
        waveform = from_int16(clip.waveforms[rate_hz])
        seed = stages.clip_seed(self.models.config.seed, clip.clip_id)
        asked = self._captioner.build_requests(waveform, clip.guidance, seed, wanted)
        for number, question in zip(wanted, asked, strict=True):
            yield {
                "task": task,
                "place": place,
                "number": number,
                "prompt": question.prompt,
                "multimodal_data": {"audio": (question.sound, rate_hz)},
                "sampling_params": question.sampling,
                ERROR: "",
            }


def reply_row(row: Row) -> Row:
    """Of what vLLM gives for a question, what is kept."""
    drawn = [next(iter(token.values())) for token in row["logprobs"]]
    return {
        "task": row["task"],
        "place": row["place"],
        "number": row["number"],
        "text": row["generated_text"],
        "log_probs": [float(token["logprob"]) for token in drawn],
    }


@dataclass
class _Held:
    """What has come of a shard: its own row, and replies by clip and candidate."""

    shard: Row | None = None
    replies: dict[tuple[int, int], VllmResponse | Failure] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.shard is not None and len(self.replies) == self.shard["questions"]


class VllmResponseCollector:
    """Behind vLLM: rows of a shard are held until all are there, and become its captioned clips.

    There is one such worker. What it holds when it dies is lost; its shards have no evidence then,
    and are done again.
    """

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory, engines: int) -> None:
        """`engines` is how many actors hold vLLM at most."""
        self._meter = make_meter()
        self._captioner = captioner_of(config)
        self._engines = engines
        self._held: dict[str, _Held] = {}

    def __call__(self, row: Row) -> list[Row]:
        task = row["task"]
        held = self._held.setdefault(task, _Held())
        if row[ERROR] == _SHARD:
            held.shard = row
        else:
            held.replies[row["place"], row["number"]] = _reply(row)
        return [self._captioned(self._held.pop(task))] if held.whole else []

    def _captioned(self, held: _Held) -> Row:
        assert held.shard is not None

        def work(task: Task, clips: Clips, spans: Spans) -> Clips:
            # Which of the engines had a question is not told; all are held from first to last.
            asked_s = spans[-2].ended_s
            spans[-1] = WorkSpan("caption", f"vllm-{task.shard % self._engines}", asked_s, asked_s)
            self._meter.record(metrics.STAGE_SECONDS, time.time() - asked_s, stage="caption")
            self._take(clips, held.replies)
            return clips

        kept = ("task", "error", "spans", "clips")
        return step({name: held.shard[name] for name in kept}, "caption", work)

    def _take(self, clips: Clips, replies: dict[tuple[int, int], VllmResponse | Failure]) -> None:
        candidates = range(self._captioner.config.candidates)
        for place in sorted({place for place, _ in replies}):
            clip = clips[place]
            given = [replies[place, number] for number in candidates]
            stages.take_candidates(clip, self._captioner.parse_responses(given, clip.guidance))


def _reply(row: Row) -> VllmResponse | Failure:
    if row[ERROR]:
        kind, _, message = row[ERROR].partition(": ")
        return Failure("caption", kind, message)
    return VllmResponse(row["text"], list(row["log_probs"]))


def captioner_of(config: RunConfig) -> VllmCaptioner:
    """The run's captioner, which is one that vLLM runs."""
    assert isinstance(config.captioner, VllmConfig)
    captioner = build_captioner(config.captioner)
    assert isinstance(captioner, VllmCaptioner)
    return captioner
