"""A whole evaluation: its figures are those of slow code, and its result file says what it is."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.audio.waveform import resample
from curation.errors import InputError
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.storage.files import Storage
from tests.training.evaluate.conftest import Write
from training.evaluate.evaluation import evaluate_on_dataset
from training.evaluate.prompts import (
    TEMPLATES,
    build_class_captions,
    embed_classes,
    read_prompts,
    spoken_class_name,
)
from training.evaluate.result import hash_data_version
from training.evaluate.zero_shot import multi_label_figures

CLASSES = ("Baby cry", "Chainsaw", "Clock tick", "Dog bark", "Fire crackling", "Helicopter",
           "Person sneeze", "Rain", "Rooster", "Sea waves")  # fmt: skip


@pytest.fixture
def recordings(shared_data: Path, tmp_path: Path) -> Path:
    """ESC-10's own folder with two recordings a class, of fold 3."""
    header, *lines = (shared_data / "esc10/clips.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    kept = [
        row
        for name in CLASSES
        for row in [row for row in rows if row[1:3] == [name, "3"]][:2]
    ]  # fmt: skip
    folder = tmp_path / "esc10"
    (folder / "audio").mkdir(parents=True)
    for row in kept:
        (folder / "audio" / row[0]).symlink_to(shared_data / "esc10/audio" / row[0])
    (folder / "clips.csv").write_text("\n".join([header, *map(",".join, kept)]) + "\n")
    return folder


def slow_accuracy(scorer: DualEncoderScorer, folder: Path, template: str) -> float:
    """One recording after another, in plain code."""
    right = []
    text = [scorer.embed_text([template.format(c=name.lower())])[0] for name in CLASSES]
    for line in (folder / "clips.csv").read_text().splitlines()[1:]:
        file, name = line.split(",")[:2]
        samples, rate = soundfile.read(folder / "audio" / file, dtype="float32")
        [embedding] = scorer.embed_audio([resample(samples, rate, scorer.sample_rate_hz)])
        assert isinstance(embedding, np.ndarray)
        right.append(CLASSES[int(np.argmax([embedding @ each for each in text]))] == name)
    return float(np.mean(right))


def test_recordings_are_named_as_by_slow_code(
    recordings: Path, tmp_path: Path, reference: DualEncoderScorer
) -> None:
    custom = {name: [f"this is {name}", name.lower()] for name in CLASSES}
    out = tmp_path / "result.json"
    result = evaluate_on_dataset(
        Storage(), reference, "esc10", str(recordings), "3", str(out), prompts=custom, quiet=True
    )
    assert json.loads(out.read_text()) == result
    assert (result["task"], result["clips"], result["missing"]) == ("zero_shot", 20, 0)
    assert result["errors"] == [] and result["model"] == reference.identity
    assert list(result["figures"]) == [*TEMPLATES, "ensemble", "custom"]
    assert result["prompts"]["custom"] == custom
    for prompt, template in TEMPLATES.items():
        figure = result["figures"][prompt]
        assert figure["accuracy"] == slow_accuracy(reference, recordings, template), prompt
        assert np.mean(list(figure["by_class"].values())) == pytest.approx(figure["accuracy"])
    # Chance is one in ten.
    assert result["figures"]["ensemble"]["accuracy"] >= 0.3


def test_missing_and_unreadable_clips_are_reported(
    recordings: Path, reference: DualEncoderScorer, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((recordings / "audio").iterdir())[:2]
    first.unlink()
    second.unlink()
    second.write_bytes(b"")
    result = evaluate_on_dataset(Storage(), reference, "esc10", str(recordings))
    assert (result["clips"], result["missing"]) == (18, 1)
    [error] = result["errors"]
    assert (error["clip"], error["type"]) == (f"audio/{second.name}", "empty_file")
    shown = capsys.readouterr().out
    assert "esc10, all" in shown and "ensemble" in shown
    assert f"{result['figures']['ensemble']['accuracy']:.3f}" in shown
    assert "missing     1" in shown and "unreadable  1" in shown


def test_captions_are_retrieved_as_by_slow_code(
    tmp_path: Path,
    sound_file: Write,
    reference: DualEncoderScorer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ["file_name,caption_1,caption_2,caption_3,caption_4,caption_5"]
    audio, text = [], []
    for index, sound in enumerate(("rain", "a dog", "a helicopter", "a baby", "wind", "a bell")):
        samples, _ = soundfile.read(sound_file(f"evaluation/{index}.wav"), dtype="float32")
        # The centre 0.3 s of 0.5 s.
        [embedding] = reference.embed_audio([samples[1600:6400]])
        audio.append(embedding)
        captions = [f"{sound} {ending}" for ending in ("", "can be heard", "far", "then", "and")]
        text.append([reference.embed_text([caption])[0] for caption in captions])
        lines.append(",".join([f"{index}.wav", *captions]))
    (tmp_path / "clotho_captions_evaluation.csv").write_text("\n".join(lines) + "\n")
    result = evaluate_on_dataset(Storage(), reference, "clotho", str(tmp_path), max_duration_s=0.3)
    assert (result["task"], result["clips"], result["captions"]) == ("retrieval", 6, 30)
    assert result["crop"] == "the centre 0.3 s of longer clips; shorter ones whole"
    first = [
        int(np.argmax([caption @ other for other in audio])) == clip
        for clip, captions in enumerate(text)
        for caption in captions
    ]
    assert result["figures"]["text_to_audio"]["R@1"] == pytest.approx(np.mean(first))
    first = [
        int(np.argmax([caption @ embedding for captions in text for caption in captions])) // 5
        == clip
        for clip, embedding in enumerate(audio)
    ]
    assert result["figures"]["audio_to_text"]["R@1"] == pytest.approx(np.mean(first))
    for way in ("text_to_audio", "audio_to_text"):
        assert list(result["figures"][way]) == ["R@1", "R@5", "R@10", "mAP@10"]
    shown = capsys.readouterr().out
    assert "clotho, evaluation" in shown and "text to audio" in shown and "mAP@10" in shown


def test_a_caption_that_clips_share_stands_behind_the_others(
    tmp_path: Path, sound_file: Write, reference: DualEncoderScorer
) -> None:
    lines = ["file_name,caption_1,caption_2,caption_3,caption_4,caption_5"]
    for index in range(3):
        sound_file(f"evaluation/{index}.wav")
        lines.append(f"{index}.wav" + ",a dog barks" * 5)
    (tmp_path / "clotho_captions_evaluation.csv").write_text("\n".join(lines) + "\n")
    figures = evaluate_on_dataset(Storage(), reference, "clotho", str(tmp_path), quiet=True)[
        "figures"
    ]
    # Ten captions of the others come first.
    assert figures["audio_to_text"] == {"R@1": 0.0, "R@5": 0.0, "R@10": 0.0, "mAP@10": 0.0}
    # All queries are alike, and so one of the three clips is first for its own.
    assert figures["text_to_audio"]["R@1"] == pytest.approx(1 / 3)


def test_several_labels_a_clip_give_map(
    tmp_path: Path, sound_file: Write, reference: DualEncoderScorer
) -> None:
    (tmp_path / "FSD50K.ground_truth").mkdir()
    (tmp_path / "FSD50K.ground_truth/eval.csv").write_text(
        'fname,labels,mids\n1,"Rain,Water",x\n2,Rain,x\n3,Bark,x\n4,Whistling,x\n'
    )
    for name in "123":
        sound_file(f"FSD50K.eval_audio/{name}.wav")
    result = evaluate_on_dataset(Storage(), reference, "fsd50k", str(tmp_path), quiet=True)
    figure = result["figures"]["name"]
    assert figure["by_class"]["Whistling"] is None and figure["classes_without_clips"] == 1
    measured = [value for value in figure["by_class"].values() if value is not None]
    assert figure["mAP"] == pytest.approx(np.mean(measured)) and len(measured) == 3


def test_map_by_hand() -> None:
    similarities = np.array([[0.9, 0.1, 0.0], [0.5, 0.2, 0.0]])
    truth = np.array([[False, True, False], [True, True, False]])
    figures = multi_label_figures(similarities, truth, ["a", "b", "c"])
    assert figures["by_class"] == {"a": 0.5, "b": 1.0, "c": None}
    assert figures["mAP"] == 0.75 and figures["classes_without_clips"] == 1


def test_class_names_as_spoken() -> None:
    assert spoken_class_name("Fill_(with_liquid)") == "fill"
    assert spoken_class_name("chirping_birds") == "chirping birds"
    assert spoken_class_name("Male speech, man speaking") == "male speech, man speaking"


@pytest.mark.parametrize("text", ["{", "[]", '{"dog": "a dog"}', '{"dog": [1]}'])
def test_prompts_that_cannot_be_read_say_what_is_expected(text: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(text)
    with pytest.raises(InputError, match=r'prompts.json: .*expected JSON: {"class": \["caption"'):
        read_prompts(Storage(), str(tmp_path / "prompts.json"))
    with pytest.raises(InputError, match="none.json: .*expected JSON"):
        read_prompts(Storage(), str(tmp_path / "none.json"))


def test_the_ensemble_is_the_mean_of_the_prompts(reference: DualEncoderScorer) -> None:
    captions = build_class_captions(["Dog", "Rain"], None)
    single = [embed_classes(reference, captions[prompt]) for prompt in TEMPLATES]
    mean = np.mean(single, axis=0)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    found = embed_classes(reference, captions["ensemble"])
    np.testing.assert_allclose(found, mean, atol=1e-6)


def test_the_data_version_is_that_of_names_and_sizes(
    recordings: Path, reference: DualEncoderScorer
) -> None:
    def version() -> str:
        result = evaluate_on_dataset(Storage(), reference, "esc10", str(recordings), quiet=True)
        return str(result["data_version"])

    before = version()
    header, *lines = (recordings / "clips.csv").read_text().splitlines()
    (recordings / "clips.csv").write_text("\n".join([header, *lines[::-1]]) + "\n")
    assert version() == before != hash_data_version([])
    file = next((recordings / "audio").iterdir())
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data + b"\0")
    assert version() != before


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ({"Rain": ["rain"]}, "no caption for class 'Baby cry'"),
        ({name: ["x"] for name in (*CLASSES, "Cat")}, "'Cat' is no class of this data set"),
    ],
)
def test_prompts_that_do_not_fit_are_errors(
    recordings: Path, reference: DualEncoderScorer, custom: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_on_dataset(
            Storage(), reference, "esc10", str(recordings), prompts=custom, quiet=True
        )


def test_what_cannot_be_evaluated_is_an_error(tmp_path: Path, reference: DualEncoderScorer) -> None:
    (tmp_path / "clotho_captions_evaluation.csv").write_text(
        "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\nx.wav,a,b,c,d,e\n"
    )
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/x.wav").write_bytes(b"")
    with pytest.raises(InputError, match="none of 1 clips can be used; the first: .*is empty"):
        evaluate_on_dataset(Storage(), reference, "clotho", str(tmp_path), quiet=True)
    with pytest.raises(InputError, match="clotho has captions, no classes"):
        evaluate_on_dataset(
            Storage(), reference, "clotho", str(tmp_path), prompts={"a": ["b"]}, quiet=True
        )
    with pytest.raises(InputError, match="batch 0, max_duration_s 10.0: both must be above 0"):
        evaluate_on_dataset(Storage(), reference, "clotho", str(tmp_path), batch=0, quiet=True)
