"""Progress: plain lines without a terminal, a bar with one, nothing when quiet."""

import threading

import pytest

from curation import console


def test_plain_progress_shows_beginning_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    with console.show_progress("annotate", "clips") as update:
        for done in range(0, 11):
            update(done, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "annotate: 0 of 10 clips"
    assert lines[-1].startswith("annotate: 10 of 10 clips, ")
    assert len(lines) == 2


def test_the_end_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    with console.show_progress("select", "pairs") as update:
        update(3, 3)
        update(3, 3)
    assert capsys.readouterr().err.splitlines() == ["select: 3 of 3 pairs"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with console.show_progress("annotate", "clips", quiet=True) as update:
        update(1, 2)
    output = capsys.readouterr()
    assert output.err == output.out == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = console.Console(force_terminal=True, width=100, record=True, stderr=True)
    monkeypatch.setattr(console, "stderr", terminal)
    with console.show_progress("annotate", "clips") as update:
        update(40, 80)
        update(80, 80)
    output = terminal.export_text()
    assert "annotate" in output and "80/80 clips" in output and "clips/s" in output


def test_results_go_to_stdout_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_fields({"clip_id": "a_[b]", "ok": 3})
    console.print_table("pairs", ["caption", "score"], [["a [dog] barks", "0.5"]])
    output = capsys.readouterr().out
    assert "clip_id  a_[b]\nok       3\n" in output
    assert "a [dog] barks" in output


def test_a_watcher_reports_each_error_once_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[int] = []
    done = threading.Event()
    errors = [OSError("no answer"), OSError("no answer"), ZeroDivisionError("of nothing"), None]

    def poll() -> None:
        calls.append(len(calls))
        if len(calls) == len(errors):
            done.set()
        if error := errors[min(len(calls), len(errors)) - 1]:
            raise error

    with console.poll_in_background(poll, 0.001):
        assert done.wait(60), "the watcher has ended"
    reported = capsys.readouterr().err.splitlines()
    assert [line.partition("(")[2] for line in reported] == [
        "OSError: no answer); the work goes on",
        "ZeroDivisionError: of nothing); the work goes on",
    ]


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table("clips", ["clip"], [["\x1b[31mred\r"], ["a\nb"]])
    console.print_fields({"uri": "/a/\x1b]0;title\x07.wav"})
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\r" not in printed
    assert "⟨U+001B⟩[31mred" in printed and "a⟨U+000A⟩b" in printed


def test_columns_of_numbers_stand_right_and_texts_left(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["a dog barks", "1.50 GB", "2 h 5 min", "4f"], ["rain", "-", "30 s", "9c"]]
    console.print_table("", ["caption", "size", "time left", "clip"], rows)
    *_, rain, _ = capsys.readouterr().out.splitlines()
    assert rain == "│ rain        │       - │      30 s │ 9c   │"


def test_an_activity_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with console.show_activity("measuring 3 clips"):
        pass
    assert capsys.readouterr().err == "measuring 3 clips ...\n"
    with console.show_activity("measuring 3 clips", quiet=True):
        pass
    assert capsys.readouterr().err == ""
