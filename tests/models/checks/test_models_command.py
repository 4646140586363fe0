"""`tagscribe models`: what is listed can be named, what does not work is refused with figures."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from curation.cli.main import main
from curation.config.models import CaptionerConfig, ScorerConfig, TaggerConfig
from curation.config.run import RunConfig
from curation.models.captioners.base import Candidate
from curation.models.catalogue import list_catalogue
from curation.models.checks import captioner as captioner_tests
from curation.models.checks import scorer as scorer_tests
from curation.models.checks import tagger as tagger_tests
from curation.models.checks.findings import ModelTestFinding, run_model_tests
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.reference import reference_model_dir
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.word_tokenizer import build_word_tokenizer
from tests.fakes import (
    ClapTagger,
    DroppingScorer,
    LogitTagger,
    OtherClassesTagger,
    PaddingSensitiveScorer,
    RandomCropScorer,
    UnseededCaptioner,
)
from tests.support.runs import write_yaml
from tests.support.tiny_networks import CAPTIONS

Ended = tuple[int, str, str]
Models = Callable[..., Ended]


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Models:
    """`tagscribe models ...` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tagscribe", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[str, str], Path]:
    """A copy of a reference model with one thing wrong."""

    def damage(kind: str, wrong: str) -> Path:
        folder = tmp_path / wrong
        shutil.copytree(Path(reference_model_dir(kind)), folder)  # type: ignore[arg-type]
        weights = folder / "tagscribe.safetensors"
        if wrong == "no weights":
            weights.unlink()
        elif wrong == "a pickle":
            torch.save(load_file(weights), folder / "pytorch_model.bin")
            weights.unlink()
        elif wrong == "nan":
            save_file({n: w * torch.nan for n, w in load_file(weights).items()}, weights)
        elif wrong == "another tokenizer":
            build_word_tokenizer(["x y z"], 40).save(folder)
        return folder

    return damage


def failed(findings: Sequence[ModelTestFinding]) -> dict[str, str]:
    return {finding.test: finding.details for finding in findings if not finding.passed}


def test_what_is_listed_can_be_named_in_a_run() -> None:
    kinds = {"captioner": CaptionerConfig, "scorer": ScorerConfig, "tagger": TaggerConfig}
    for entry in list_catalogue():
        section = {"model": entry.model, "revision": "0" * 40, "kind": entry.kind}
        if entry.part == "tagger":
            del section["kind"]
        assert TypeAdapter(kinds[entry.part]).validate_python(section).model == entry.model


def test_the_list_shows_licence_size_and_memory(models: Models) -> None:
    code, printed, _ = models("list")
    assert code == 0
    for entry in list_catalogue():
        assert entry.model in printed and entry.licence in printed and entry.note in printed
    reported = {(row["part"], row["model"]): row for row in json.loads(models("list", "--json")[1])}
    weights = load_file(Path(reference_model_dir("clap")) / "tagscribe.safetensors").values()
    assert reported["scorer", "reference"]["parameters"] == sum(each.numel() for each in weights)
    assert reported["scorer", "facebook/pe-av-base"]["weight_bytes"] == 2_060_000_000
    assert reported["captioner", "Qwen/Qwen3-Omni-30B-A3B-Captioner"]["tags"] is False


def test_the_models_of_a_run_pass(
    models: Models, annotated_here: RunConfig, tmp_path: Path
) -> None:
    code, printed, _ = models("check", write_yaml(annotated_here, tmp_path))
    assert code == 0 and "FAILED" not in printed
    assert "captioner: reference" in printed and "scorer: reference" in printed
    assert "standard deviations of chance (at least 4.0)" in printed


def test_a_scorer_that_cannot_tell_pairs_apart_is_refused_with_figures(
    models: Models, dual_encoder: DualEncoder, tmp_path: Path
) -> None:
    dual_encoder.save_pretrained(tmp_path)
    build_word_tokenizer(CAPTIONS, 20).save(tmp_path)
    code, printed, reported = models("check", "--scorer", f"{{kind: clap, model: {tmp_path}}}")
    assert code == 1 and reported.endswith("tagscribe: refused: scorer\n")
    [line] = [line for line in printed.splitlines() if "FAILED" in line]
    assert "matched against shuffled" in line and "AUC 0." in line and "at least 4.0" in line


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        ("clap", "no weights", "tagscribe.safetensors or model.safetensors missing"),
        ("captioner", "a pickle", "the weights are pickled (pytorch_model.bin)"),
        ("captioner", "clap", "'tagscribe-captioner'"),
        ("clap", "captioner", "'tagscribe-dual-encoder'"),
        ("clap", "nan", "a caption's embedding is not finite"),
        ("captioner", "nan", "logits are not finite"),
        ("captioner", "another tokenizer", ""),
        ("clap", "another tokenizer", ""),
    ],
)
def test_a_bad_directory_is_refused(
    models: Models, damaged: Callable[[str, str], Path], kind: str, wrong: str, said: str
) -> None:
    folder = (
        Path(reference_model_dir(wrong)) if wrong in ("clap", "captioner") else damaged(kind, wrong)
    )
    part = "scorer" if kind == "clap" else "captioner"
    code, printed, reported = models("check", f"--{part}", f"{{model: {folder}}}")
    print(printed)
    assert code == 1 and reported == f"tagscribe: refused: {part}\n"
    assert said in printed


@pytest.mark.parametrize(
    ("build", "test"),
    [
        (RandomCropScorer, "the same again"),
        (PaddingSensitiveScorer, "the same in another batch"),
        (DroppingScorer, "clips without sound"),
    ],
)
def test_a_scorer_that_is_not_repeatable_is_refused(
    build: type[DualEncoderScorer], test: str
) -> None:
    assert test in failed(run_model_tests(build, scorer_tests.SCORER_TESTS))


def test_a_captioner_that_ignores_its_seeds_is_refused() -> None:
    reported = failed(run_model_tests(UnseededCaptioner, captioner_tests.captioner_tests("tags")))
    assert "the same again" in reported and "(at least 100%)" in reported["the same again"]


def test_tags_are_tested_only_with_guidance() -> None:
    assert "takes tags" in captioner_tests.captioner_tests("tags")
    assert "takes tags" not in captioner_tests.captioner_tests("none")


@pytest.mark.parametrize(
    ("caption", "log_prob", "fault"),
    [
        ("a dog barks while rain falls and then a dog barks again", -1.0, None),
        ("a clock ticks: tick tick tick", -1.0, None),
        ("  ", -1.0, "one is empty"),
        ("a dog barks", float("nan"), "the log-probability of"),
        ("rain rain rain rain rain", -1.0, "one repeats itself"),
        ("we hear a dog and a dog and a dog and a dog and a dog and a dog", -1.0, "repeats itself"),
        (" ".join(map(str, range(3000))), -1.0, "one has 3000 words"),
    ],
)
def test_what_is_no_caption_is_reported(caption: str, log_prob: float, fault: str | None) -> None:
    found = captioner_tests.caption_fault(Candidate(caption, "sample", log_prob))
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_a_correct_tagger_passes_and_its_hits_are_reported() -> None:
    findings = run_model_tests(ClapTagger, tagger_tests.TAGGER_TESTS)
    assert failed(findings) == {}
    assert "66 tags on 22 sounds" in findings[1].details


@pytest.mark.parametrize(
    ("build", "said"),
    [(LogitTagger, "confidence 7.5, expected 0 to 1"), (OtherClassesTagger, "no AudioSet class")],
)
def test_a_tagger_of_something_else_is_refused(build: type[ClapTagger], said: str) -> None:
    assert said in failed(run_model_tests(build, tagger_tests.TAGGER_TESTS))["tags"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either RUN.YAML, or --captioner"),
        (("--scorer", "{kind: clap, modle: x}"), "did you mean 'model'?"),
        (("--tagger", "{model: x, thresold: 0.1}"), "did you mean 'threshold'?"),
        (("--captioner", "{model"), "captioner: not YAML"),
    ],
)
def test_what_is_not_understood_is_one_line(
    models: Models, arguments: tuple[str, ...], message: str
) -> None:
    code, printed, reported = models("check", *arguments)
    assert code == 1 and printed == "" and message in reported


def test_a_run_is_calibrated(models: Models, annotated_here: RunConfig, tmp_path: Path) -> None:
    yaml = write_yaml(annotated_here, tmp_path)
    code, printed, _ = models("calibrate", yaml, "--precision", 0.8, "--out", tmp_path)
    assert code == 0 and "select: {min_score: " in printed
    reported = json.loads((tmp_path / "calibration.json").read_text())
    assert reported["matched"]["pairs"] == reported["captions"] == 40
    assert reported["threshold"]["precision"] >= 0.8 and f"{reported['auc']:.3f}" in printed
    assert (tmp_path / "calibration.svg").read_text().startswith("<?xml")


def test_a_run_without_evidence_says_what_to_do(
    models: Models, annotated_here: RunConfig, tmp_path: Path
) -> None:
    elsewhere = annotated_here.model_copy(update={"run": str(tmp_path / "none")})
    code, _, reported = models("calibrate", write_yaml(elsewhere, tmp_path))
    assert code == 1 and "no run here" in reported
