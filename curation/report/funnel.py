"""Counts the clips, captions and pairs that are left after each step of a run."""

from dataclasses import dataclass

from curation.report.decided_shard import UNDECIDED
from curation.report.error_counts import ErrorKind
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
class FunnelStep:
    """A step, and the number of clips, captions or pairs (`unit`) that are left after it."""

    name: str
    remaining: int
    unit: str

    @property
    def label(self) -> str:
        return self.name if self.unit in self.name else f"{self.unit} {self.name}"


def funnel_steps(
    listed: int, done: int, errors: list[ErrorKind], reasons: dict[str, int], pairs: int | None
) -> list[FunnelStep]:
    """List the steps of a run, with the number that is left after each step.

    Args:
        listed, done: number of planned clips, and number of clips with evidence.
        errors: the kinds of error of the clips with evidence.
        reasons: number of candidates by the reason of the decision.
        pairs: rows of the curated table; None if there is no table.
    """
    steps = [FunnelStep("listed", listed, "clips")]
    if done < listed:
        steps.append(FunnelStep("annotated so far", done, "clips"))
    left = done
    for name, stages in _LOST:
        lost = sum(kind.clips for kind in errors if kind.stage in stages)
        left -= lost
        if lost or name != "tagged":  # most runs have no tagger
            steps.append(FunnelStep(name, left, "clips"))
    return steps + _caption_steps(reasons, pairs)


def _caption_steps(reasons: dict[str, int], pairs: int | None) -> list[FunnelStep]:
    left = sum(reasons.values())
    steps = [FunnelStep("captions written", left, "captions")]
    if UNDECIDED in reasons:
        left -= reasons[UNDECIDED]
        steps.append(FunnelStep("of a selection", left, "captions"))
    # The best of a clip are taken from those that no veto has thrown out.
    vetoes = sorted(reasons.keys() - _DECIDED)
    for reason in [*vetoes, policy.NOT_BEST, policy.BELOW_THRESHOLD] if pairs is not None else []:
        left -= reasons.get(reason, 0)
        steps.append(FunnelStep(_remaining_label(reason), left, "captions"))
    return steps if pairs is None else [*steps, FunnelStep("pairs in the table", pairs, "pairs")]


def _remaining_label(reason: str) -> str:
    if reason == policy.NOT_BEST:
        return "best of their clip"
    words = reason.replace("_", " ")
    return f"above the {words[6:]}" if words.startswith("below ") else f"not {words}"
