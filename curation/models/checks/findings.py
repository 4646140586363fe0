"""Runs tests on a model, catches every error, and records the findings."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from curation.errors import InputError
from curation.schema import Failure

T = TypeVar("T")


class ModelTestOutcome(NamedTuple):
    """Whether a test passed, and the figures that it measured."""

    passed: bool
    details: str


class ModelTestFinding(NamedTuple):
    """The name of a test, and the outcome of the test."""

    test: str
    passed: bool
    details: str


class TestableModel(Protocol):
    """The methods that captioners, scorers and taggers have in common."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def identity(self) -> dict[str, str]: ...

    def setup(self) -> None: ...


ModelT = TypeVar("ModelT", bound=TestableModel)
ModelTests = Mapping[str, Callable[[ModelT], ModelTestOutcome]]


def run_model_tests(
    build: Callable[[], ModelT], tests: ModelTests[ModelT]
) -> list[ModelTestFinding]:
    """Load a model and run tests on it; if the model cannot be loaded, no test is run."""
    models: list[ModelT] = []

    def load() -> ModelTestOutcome:
        model = build()
        model.setup()
        models.append(model)
        weights = model.identity["weights_sha256"][:12]
        return ModelTestOutcome(True, f"weights {weights}..., takes {model.sample_rate_hz} Hz")

    loaded = _run_test("loads", load)
    if not loaded.passed:
        return [loaded]
    return [loaded, *(_run_test(name, partial(test, *models)) for name, test in tests.items())]


def _run_test(name: str, work: Callable[[], ModelTestOutcome]) -> ModelTestFinding:
    try:
        return ModelTestFinding(name, *work())
    except InputError as error:
        return ModelTestFinding(name, False, _one_line(str(error)))
    except Exception as error:  # A model under test may break in any way; that is a finding.
        return ModelTestFinding(name, False, _one_line(f"{type(error).__name__}: {error}"))


def require_results(results: Sequence[T | Failure]) -> list[T]:
    """Return the results if none is a failure. Raises InputError naming the first failure."""
    answers: list[T] = []
    for place, result in enumerate(results):
        if isinstance(result, Failure):
            raise InputError(
                f"clip {place} of {len(results)} was not processed: {result.kind}: {result.message}"
            )
        answers.append(result)
    return answers


def check_bad_clips(
    work: Callable[[list[np.ndarray]], Sequence[object]], sound: np.ndarray
) -> ModelTestOutcome:
    """Check whether invalid clips become failures at their positions in the results."""
    results = work([sound, np.zeros(0, np.float32), np.full_like(sound, np.nan), sound])
    found = ["failure" if isinstance(result, Failure) else "answer" for result in results]
    return ModelTestOutcome(
        found == ["answer", "failure", "failure", "answer"],
        f"a sound, none, not-a-number, a sound: {', '.join(found)}",
    )


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
