"""Every published layout is read; what is missing is counted, and a wrong folder is an error."""

from pathlib import Path

import pytest

from curation.errors import InputError
from curation.storage.files import Storage
from tests.training.evaluate.conftest import Write
from training.evaluate.datasets import DATASETS, read_eval_set
from training.evaluate.evalset import EvalSet
from training.evaluate.readers import listing

ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-a.wav,1,0,dog,True,1,A\n"
    "1-b.wav,1,14,chirping_birds,False,1,A\n"
    "2-c.wav,2,1,rooster,True,1,A\n"
    "2-gone.wav,2,1,rooster,True,1,A\n"
)


def write(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def labels(data: EvalSet) -> dict[str, tuple[str, ...]]:
    return {clip.name: clip.labels for clip in data.clips}


def test_esc50_by_fold_and_its_esc10(tmp_path: Path, sound_file: Write) -> None:
    write(tmp_path, "meta/esc50.csv", ESC50)
    for name in ("1-a", "1-b", "2-c"):
        sound_file(f"audio/{name}.wav")
    whole = read_eval_set(Storage(), "esc50", str(tmp_path))
    assert (whole.split, whole.missing, whole.multi_label) == ("all", 1, False)
    assert whole.classes == ("chirping_birds", "dog", "rooster")
    assert labels(whole) == {
        "audio/1-a.wav": ("dog",), "audio/1-b.wav": ("chirping_birds",),
        "audio/2-c.wav": ("rooster",),
    }  # fmt: skip
    assert whole.clips[0].size_bytes == (tmp_path / "audio/1-a.wav").stat().st_size
    second = read_eval_set(Storage(), "esc50", str(tmp_path), "2")
    assert labels(second) == {"audio/2-c.wav": ("rooster",)} and second.classes == whole.classes
    ten = read_eval_set(Storage(), "esc10", str(tmp_path))
    assert ten.classes == ("dog", "rooster") and len(ten.clips) == 2


def test_esc10_alone(shared_data: Path) -> None:
    data = read_eval_set(Storage(), "esc10", str(shared_data / "esc10"), "3")
    assert (len(data.clips), len(data.classes), data.missing) == (80, 10, 0)
    assert {len(clip.labels) for clip in data.clips} == {1}


def test_urbansound8k(tmp_path: Path, sound_file: Write) -> None:
    write(
        tmp_path,
        "metadata/UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "1-3-0-0.wav,1,0,4,1,10,3,dog_bark\n2-2-0-0.wav,2,0,4,1,2,2,children_playing\n",
    )
    sound_file("audio/fold10/1-3-0-0.wav")
    data = read_eval_set(Storage(), "urbansound8k", str(tmp_path))
    assert labels(data) == {"audio/fold10/1-3-0-0.wav": ("dog_bark",)}
    assert data.missing == 1 and data.classes == ("children_playing", "dog_bark")


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_vggsound(tmp_path: Path, sound_file: Write, extension: str) -> None:
    write(
        tmp_path,
        "vggsound.csv",
        '---g-f_I2yQ,1,people marching,test\n-abcdefghij,120,"horn, honking",test\n'
        "bbbbbbbbbbb,30,dog barking,train\n",
    )
    sound_file(f"clips/-abcdefghij_000120.{extension}")
    data = read_eval_set(Storage(), "vggsound", str(tmp_path))
    assert labels(data) == {f"clips/-abcdefghij_000120.{extension}": ("horn, honking",)}
    assert (data.split, data.missing, len(data.classes)) == ("test", 1, 3)


def test_fsd50k(tmp_path: Path, sound_file: Write) -> None:
    write(
        tmp_path,
        "FSD50K.ground_truth/eval.csv",
        'fname,labels,mids\n37199,"Electric_guitar,Guitar,Music","/m/02sgy,/m/0342h,/m/04rlf"\n'
        "4,Bark,/m/05tny_\n",
    )
    sound_file("FSD50K.eval_audio/37199.wav")
    data = read_eval_set(Storage(), "fsd50k", str(tmp_path))
    assert labels(data) == {"FSD50K.eval_audio/37199.wav": ("Electric_guitar", "Guitar", "Music")}
    assert data.multi_label and data.missing == 1 and "Bark" in data.classes


def test_audioset_classes_imply_their_only_parents(tmp_path: Path, sound_file: Write) -> None:
    write(
        tmp_path,
        "eval_segments.csv",
        '# YTID, start_seconds, end_seconds, positive_labels\n'
        'aaaaaaaaaaa, 30.000, 40.000, "/m/05tny_"\nbbbbbbbbbbb, 0.000, 10.000, "/m/09x0r"\n',
    )  # fmt: skip
    sound_file("eval/Yaaaaaaaaaaa_30.wav")
    data = read_eval_set(Storage(), "audioset", str(tmp_path))
    [clip] = data.clips
    assert clip.name == "eval/Yaaaaaaaaaaa_30.wav"
    assert clip.labels == ("Animal", "Bark", "Dog", "Domestic animals, pets")
    assert (len(data.classes), data.multi_label, data.missing) == (527, True, 1)


@pytest.mark.parametrize(
    "name",
    [
        "rqfQRErjfk8_170.wav",
        "rqfQRErjfk8_170000.flac",
        "YrqfQRErjfk8.wav",
        "test/YrqfQRErjfk8_170.wav",
    ],
)
def test_audiocaps_gathers_the_captions_of_a_clip(
    tmp_path: Path, sound_file: Write, name: str
) -> None:
    captions = tuple(f"caption {index}" for index in range(5))
    lines = [f"{10 + index},rqfQRErjfk8,170,{text}" for index, text in enumerate(captions)]
    text = "\n".join(["audiocap_id,youtube_id,start_time,caption", *lines, "9,none,30,gone", ""])
    write(tmp_path, "test.csv", text)
    sound_file(name)
    data = read_eval_set(Storage(), "audiocaps", str(tmp_path))
    [clip] = data.clips
    assert (clip.name, clip.captions) == (name, captions)
    assert (data.split, data.classes, data.missing) == ("test", (), 1)


def test_clotho(tmp_path: Path, sound_file: Write) -> None:
    write(
        tmp_path,
        "clotho_captions_validation.csv",
        "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
        'Santa Motor.wav,"A machine whines, then stops",b,c,d,e\ngone.wav,a,b,c,d,e\n',
    )
    sound_file("validation/Santa Motor.wav")
    data = read_eval_set(Storage(), "clotho", str(tmp_path), "validation")
    [clip] = data.clips
    assert clip.captions == ("A machine whines, then stops", "b", "c", "d", "e")
    assert data.missing == 1


def test_a_bucket_serves_as_well_as_a_folder(
    tmp_path: Path, sound_file: Write, s3_folder: str
) -> None:
    path = sound_file("1-a.wav")
    Storage().put(f"{s3_folder}/esc/meta/esc50.csv", ESC50.encode())
    Storage().put(f"{s3_folder}/esc/audio/1-a.wav", path.read_bytes())
    data = read_eval_set(Storage(), "esc50", f"{s3_folder}/esc")
    [clip] = data.clips
    assert (clip.name, clip.uri) == ("audio/1-a.wav", f"{s3_folder}/esc/audio/1-a.wav")
    assert (clip.size_bytes, data.missing) == (path.stat().st_size, 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("esc50", "meta/esc50.csv"),
        ("esc10", "clips.csv"),
        ("urbansound8k", "metadata/UrbanSound8K.csv"),
        ("vggsound", "vggsound.csv"),
        ("fsd50k", "FSD50K.ground_truth/eval.csv"),
        ("audioset", "eval_segments.csv"),
        ("audiocaps", "test.csv"),
        ("clotho", "clotho_captions_evaluation.csv"),
    ],
)
def test_a_wrong_folder_says_what_is_expected(tmp_path: Path, name: str, expected: str) -> None:
    assert name in DATASETS
    with pytest.raises(InputError) as caught:
        read_eval_set(Storage(), name, str(tmp_path))
    assert str(tmp_path) in str(caught.value) and expected in str(caught.value)


def test_unknown_names_and_splits_are_errors() -> None:
    with pytest.raises(InputError, match="data set 'esc': expected one of esc50, esc10"):
        read_eval_set(Storage(), "esc", "nowhere")
    with pytest.raises(InputError, match="split 'dev': expected one of test, val, train"):
        read_eval_set(Storage(), "audiocaps", "nowhere", "dev")


def test_a_list_without_any_of_its_clips_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "meta/esc50.csv", ESC50)
    with pytest.raises(InputError, match="of 4 clips listed in split all none exists; expected"):
        read_eval_set(Storage(), "esc50", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,fold\nx.wav,1\n", "no column 'category' among filename, fold"),
        ("filename,fold,category,esc10\nx.wav,1\n", "row 1: expected 4 fields"),
        ("filename,fold,category,esc10\nx,1,dog,True,more\n", "row 1: expected 4 fields"),
        ('filename,fold,category,esc10\n"x"y,1,dog,True\n', "not CSV in UTF-8"),
    ],
)
def test_a_broken_list_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "meta/esc50.csv", text)
    with pytest.raises(InputError, match=message):
        read_eval_set(Storage(), "esc50", str(tmp_path))


def test_the_first_file_of_a_name_is_taken(tmp_path: Path, sound_file: Write) -> None:
    for path in ("b/x.wav", "a/x.flac"):
        sound_file(path)
    assert listing.index_by_stem(listing.list_audio_files(Storage(), str(tmp_path))) == {
        "x": "a/x.flac"
    }
