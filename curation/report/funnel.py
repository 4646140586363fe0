"""From listed clips to pairs: what each step of a run left over."""

from dataclasses import dataclass

from curation.report.errors import Kind
from curation.report.shard import UNDECIDED
from curation.select import policy

# The clips that each step lost, by the stage of their error; a killed worker had not decoded them.
_LOST: tuple[tuple[str, frozenset[str]], ...] = (
    ("found", frozenset({"catalog"})),
    ("read", frozenset({"read"})),
    ("decoded", frozenset({"decode", "worker"})),
    ("tagged", frozenset({"tag"})),
    ("captioned", frozenset({"caption"})),
    ("scored", frozenset({"score"})),
)
_DECIDED = {policy.ACCEPTED, UNDECIDED, policy.NOT_BEST, policy.BELOW_THRESHOLD}


@dataclass(frozen=True)
class Step:
    """What was left after a step, and of what."""

    name: str
    left: int
    unit: str

    @property
    def label(self) -> str:
        return self.name if self.unit in self.name else f"{self.unit} {self.name}"


def steps(
    listed: int, done: int, errors: list[Kind], reasons: dict[str, int], pairs: int | None
) -> list[Step]:
    """The steps of a run.

    Args:
        listed, done: clips of the plan, and those of them with evidence.
        errors: the kinds of error of the clips done.
        reasons: candidates by what became of them.
        pairs: rows of the curated table; None where there is none.
    """
    told = [Step("listed", listed, "clips")]
    if done < listed:
        told.append(Step("annotated so far", done, "clips"))
    left = done
    for name, stages in _LOST:
        lost = sum(kind.clips for kind in errors if kind.stage in stages)
        left -= lost
        if lost or name != "tagged":  # most runs have no tagger
            told.append(Step(name, left, "clips"))
    return told + _caption_steps(reasons, pairs)


def _caption_steps(reasons: dict[str, int], pairs: int | None) -> list[Step]:
    left = sum(reasons.values())
    told = [Step("captions written", left, "captions")]
    if UNDECIDED in reasons:
        left -= reasons[UNDECIDED]
        told.append(Step("of a selection", left, "captions"))
    # The best of a clip are taken from those that no veto has thrown out.
    vetoes = sorted(reasons.keys() - _DECIDED)
    for reason in [*vetoes, policy.NOT_BEST, policy.BELOW_THRESHOLD] if pairs is not None else []:
        left -= reasons.get(reason, 0)
        told.append(Step(_survived(reason), left, "captions"))
    return told if pairs is None else [*told, Step("pairs in the table", pairs, "pairs")]


def _survived(reason: str) -> str:
    if reason == policy.NOT_BEST:
        return "best of their clip"
    told = reason.replace("_", " ")
    return f"above the {told[6:]}" if told.startswith("below ") else f"not {told}"
