"""Describes in sentences how a run's captions were made, from its settings and its policy."""

from typing import Any

from curation.config.policy import Policy
from curation.select.policy import describe

_TAGS = {
    "given": "Tags are those that came with the clips.",
    "predicted": "Tags are those that a tagger predicted for the clips; others that came with them "
    "were not used.",
    "both": "Tags are those that came with the clips, and those that a tagger predicted beside "
    "them.",
}


def describe_steps(origin: dict[str, Any]) -> list[str]:
    """Describe each step, from tags to the selection of captions, in one or two sentences."""
    settings = origin["settings"]
    return [
        *_tagging(settings),
        _captioning(settings),
        _scoring(settings),
        describe(Policy.model_validate(origin["policy"])),
    ]


def _tagging(settings: dict[str, Any]) -> list[str]:
    tags = settings["tags"]
    if settings["captioner"]["guidance"] == "none" and tags["use"] == "given":
        return []
    text = _TAGS[tags["use"]]
    if tags["verify"]:
        text += f" One whose name scores below {tags['verify']['min_score']} guides nothing."
    return [text]


def _captioning(settings: dict[str, Any]) -> str:
    captioner, adaptive = settings["captioner"], settings["adaptive"]
    guided = " and its tags" if captioner["guidance"] == "tags" else " without its tags"
    text = f"A captioner receives the clip{guided}; it writes {captioner['candidates']} captions"
    if adaptive:
        text += (
            f", {adaptive['first']} at first and the rest where none of those scores "
            f"{adaptive['enough_score']}"
        )
    return text + "."


def _scoring(settings: dict[str, Any]) -> str:
    second = ", and so does a second one" if settings["second_scorer"] else ""
    return f"A CLAP model scores each caption against the sound{second}."
