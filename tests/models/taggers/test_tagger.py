"""The tagger says what a plain call of transformers says, clip by clip, whatever lies beside."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    BertConfig,
    BertModel,
)

from curation.config.models import TaggerConfig
from curation.errors import InputError
from curation.models.taggers.base import Tagger
from curation.models.taggers.build import build_tagger
from curation.run import config_file
from curation.schema import Failure, Tag
from curation.tags import ontology
from tests.support import tiny_taggers

MALE_SPEECH, BARK = "/m/05zppz", "/m/05tny_"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ast")
    tiny_taggers.ast(made)
    return made


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Six sounds of 0.2 to 2 s at 16 kHz; the model uses 1.28 s."""
    rng = np.random.default_rng(0)
    lengths = [3200, 8000, 8000, 16000, 24000, 32000]
    return [
        (rng.normal(size=length) * np.sin(np.arange(length) * 0.01 * (index + 1))).astype("f4")
        for index, length in enumerate(lengths)
    ]


def tagger_of(folder: Path, **settings: object) -> Tagger:
    """The tagger of a section of a run's YAML."""
    section = {"model": str(folder), "dtype": "float32", **settings}
    return build_tagger(TaggerConfig.model_validate(section))


def everything(folder: Path, **settings: object) -> Tagger:
    """A tagger that puts all its classes on every clip."""
    made = tagger_of(folder, top_k=527, threshold=0.0, **settings)
    made.setup()
    return made


def reported(result: list[Tag] | Failure) -> dict[str, float]:
    assert not isinstance(result, Failure), result
    return {tag.mid: tag.confidence for tag in result}


def in_order(result: list[Tag] | Failure) -> np.ndarray:
    """Confidences in the order of AudioSet's labels."""
    by_mid = reported(result)
    return np.array([by_mid[mid] for mid in ontology.labelled_mids()])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_confidences_are_the_sigmoids_of_transformers_own_call(
    dtype: str, folder: Path, clips: list[np.ndarray]
) -> None:
    model = AutoModelForAudioClassification.from_pretrained(folder, dtype=getattr(torch, dtype))
    features = AutoFeatureExtractor.from_pretrained(folder)(
        clips, sampling_rate=16000, return_tensors="pt"
    )["input_values"]
    with torch.no_grad():
        expected = model.eval()(features.to(model.dtype)).logits.float().sigmoid().numpy()
    got = np.stack([in_order(result) for result in everything(folder, dtype=dtype).tag(clips)])
    np.testing.assert_allclose(got, expected, atol=1e-6 if dtype == "float32" else 2e-2)
    assert expected.std(axis=0).max() > 0.05, "the model says the same of every clip"


@pytest.mark.parametrize("build", [tiny_taggers.ast, tiny_taggers.wav2vec2])
def test_a_clip_is_tagged_the_same_alone_and_in_a_batch(
    build: object, tmp_path: Path, clips: list[np.ndarray]
) -> None:
    assert callable(build)
    build(tmp_path)
    tagger = everything(tmp_path)
    for clip, together in zip(clips, tagger.tag(clips), strict=True):
        [alone] = tagger.tag([clip])
        assert together == alone


def test_tags_are_predicted_and_the_surest_come_first(
    folder: Path, clips: list[np.ndarray]
) -> None:
    tagger = tagger_of(folder, top_k=4, threshold=0.9)
    for few, result in zip(tagger.tag(clips), everything(folder).tag(clips), strict=True):
        assert isinstance(few, list) and isinstance(result, list)
        assert few == [tag for tag in result if tag.confidence >= 0.9][:4]
        assert len(few) == 4, "the threshold left fewer than top_k: nothing was cut"
        assert [tag.confidence for tag in result] == sorted(reported(result).values(), reverse=True)
        assert all((t.origin, t.name) == ("predicted", ontology.class_name(t.mid)) for t in result)


def test_equally_sure_tags_come_in_the_models_order(tmp_path: Path) -> None:
    model = tiny_taggers.ast(tmp_path)
    with torch.no_grad():
        model.classifier.dense.weight.zero_()
    model.save_pretrained(tmp_path)
    [result] = everything(tmp_path).tag([np.ones(8000, "f4")])
    assert tuple(reported(result)) == ontology.labelled_mids()
    assert set(reported(result).values()) == {0.5}


def test_a_class_may_have_a_threshold_of_its_own(folder: Path, clips: list[np.ndarray]) -> None:
    thresholds = {"male speech, man speaking": 0.0, BARK: 0.0}
    tagger = tagger_of(folder, top_k=527, threshold=1.0, thresholds=thresholds)
    for result in tagger.tag(clips[:2]):
        assert set(reported(result)) == {MALE_SPEECH, BARK}


def test_a_threshold_of_no_class_is_refused(folder: Path, tmp_path: Path) -> None:
    section = {"model": str(folder), "thresholds": {"Speach": 0.5}}
    run = {"run": "x", "catalog": {"kind": "folder", "audio": "y"}}
    reported = "tags.tagger.thresholds: .*'Speach' is no AudioSet class: did you mean 'Speech'"
    with pytest.raises(InputError, match=reported):
        config_file.parse_run_config({**run, "tags": {"use": "both", "tagger": section}}, "test")
    tiny_taggers.ast(tmp_path, ["Speech", "Music"])
    with pytest.raises(InputError, match="thresholds: Bark: .* has no such class"):
        tagger_of(tmp_path, thresholds={BARK: 0.5}).setup()


def test_labels_may_be_names_or_ids(tmp_path: Path) -> None:
    tiny_taggers.ast(tmp_path, ["speech", BARK])
    [result] = everything(tmp_path).tag([np.ones(8000, "f4")])
    assert isinstance(result, list)
    assert {tag.name for tag in result} == {"Speech", "Bark"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["Speech", "dog_bark", "siren!"],
            "2 of 3 labels are no .*among them 'dog_bark', 'siren!'",
        ),
        ([f"class {n}" for n in range(9)], "9 of 9 labels .*'class 0', 'class 1', 'class 2'; exp"),
    ],
)
def test_a_model_of_other_classes_is_refused(
    labels: list[str], message: str, tmp_path: Path
) -> None:
    tiny_taggers.ast(tmp_path, labels)
    with pytest.raises(InputError, match=message):
        tagger_of(tmp_path).setup()


def test_bad_clips_are_failures_in_their_place(folder: Path, clips: list[np.ndarray]) -> None:
    tagger = everything(folder)
    broken = np.full(8000, np.nan, "f4")
    results = tagger.tag([np.zeros(0, "f4"), clips[0], broken, np.zeros((2, 80), "f4")])
    kinds = [(r.stage, r.kind) if isinstance(r, Failure) else "ok" for r in results]
    assert kinds == [("tag", "empty"), "ok", ("tag", "not_finite"), ("tag", "not_mono")]
    assert results[1] == tagger.tag([clips[0]])[0]
    assert tagger.tag([]) == []


@pytest.mark.parametrize("build", [tiny_taggers.ast, tiny_taggers.wav2vec2])
def test_a_clip_shorter_than_a_frame_is_padded(build: object, tmp_path: Path) -> None:
    assert callable(build)
    build(tmp_path)
    short, padded = np.ones(7, "f4"), np.pad(np.ones(7, "f4"), (0, 393))
    first, second = everything(tmp_path).tag([short, padded])
    assert reported(first) == reported(second)


def test_outputs_that_are_no_numbers_fail_the_clip(tmp_path: Path) -> None:
    model = tiny_taggers.ast(tmp_path)
    with torch.no_grad():
        model.classifier.dense.bias[3] = float("nan")
    model.save_pretrained(tmp_path)
    failure = Failure("tag", "not_finite", "the tagger's outputs are not finite")
    assert everything(tmp_path).tag([np.ones(8000, "f4")] * 2) == [failure] * 2


def test_known_before_setup_picklable_and_without_torch(folder: Path) -> None:
    code = f"""
import sys
from curation.config.models import TaggerConfig
from curation.models.taggers.build import build_tagger
tagger = build_tagger(TaggerConfig(model={str(folder)!r}))
assert tagger.sample_rate_hz == 16000 and len(tagger.identity["weights_sha256"]) == 64
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    tagger = everything(folder)
    assert len(pickle.dumps(tagger)) < 1000
    assert pickle.loads(pickle.dumps(tagger)) == tagger


def test_directories_that_hold_no_tagger_are_refused(folder: Path, tmp_path: Path) -> None:
    def open_tagger(name: str) -> None:
        tagger_of(tmp_path / name).setup()

    with pytest.raises(
        InputError, match="none: no such directory; expected a directory with config"
    ):
        open_tagger("none")
    deaf = tmp_path / "deaf"
    tiny_taggers.ast(deaf)
    (deaf / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="deaf: no sampling_rate in"):
        _ = tagger_of(deaf).sample_rate_hz
    with pytest.raises(InputError, match="deaf: not a loadable front end: "):
        open_tagger("deaf")
    BertModel(
        BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8, id2label=tiny_taggers.id2label(None),
        )
    ).save_pretrained(tmp_path / "bert")  # fmt: skip
    ASTFeatureExtractor().save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="not a loadable AutoModelForAudioClassification: .*Bert"):
        open_tagger("bert")


def test_a_model_without_the_head_is_refused(folder: Path, tmp_path: Path) -> None:
    model = tiny_taggers.ast(tmp_path)
    model.audio_spectrogram_transformer.save_pretrained(tmp_path)
    tiny_taggers.edit_json(
        tmp_path / "config.json", id2label={n: name for n, name in enumerate(tiny_taggers.names())}
    )
    with pytest.raises(InputError, match="not those of a AutoModelFor.*, among them classifier"):
        tagger_of(tmp_path).setup()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Custom code is copied and imported from a folder of the test, not from the home folder."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize("pooling", ["mean", "logit"])
def test_what_went_through_a_sigmoid_goes_through_no_second_one(
    pooling: str, modules: None, tmp_path: Path, clips: list[np.ndarray]
) -> None:
    model = tiny_taggers.ced(tmp_path / "ced", pooling)
    features = ASTFeatureExtractor.from_pretrained(tmp_path / "ced")(
        clips[3], sampling_rate=16000, return_tensors="pt"
    )
    with torch.no_grad():
        [outputs] = model(**features).logits
    expected = outputs.sigmoid() if pooling == "logit" else outputs
    [result] = everything(tmp_path / "ced", trust_remote_code=True, revision="read").tag([clips[3]])
    np.testing.assert_allclose(in_order(result), expected, atol=1e-5)


def test_code_beside_the_weights_runs_only_where_it_is_allowed(
    modules: None, tmp_path: Path
) -> None:
    tiny_taggers.ced(tmp_path / "ced")
    with pytest.raises(InputError, match="brings code of its own: .*'trust_remote_code: true'"):
        tagger_of(tmp_path / "ced").setup()
    assert not (tmp_path / "hf").exists()
    elsewhere = {**tiny_taggers.CED_CLASSES, "AutoConfig": "some/where--modeling_ced.CedConfig"}
    tiny_taggers.edit_json(tmp_path / "ced" / "config.json", auto_map=elsewhere)
    with pytest.raises(InputError, match="names some/where--modeling_ced.CedConfig, code of anot"):
        everything(tmp_path / "ced", trust_remote_code=True, revision="read")


def test_the_released_size_builds_and_takes_ten_seconds() -> None:
    """MIT/ast-finetuned-audioset-10-10-0.4593, whose numbers are the defaults of ASTConfig."""
    with torch.device("meta"):
        model = ASTForAudioClassification(ASTConfig(id2label=tiny_taggers.id2label(None)))
        logits = model(torch.empty(2, 1024, 128)).logits
    assert logits.shape == (2, 527)
    assert model.num_parameters() == 86_594_063
