"""The review server asked by a real client: what it answers, and to whom it does not."""

import json
import socket
from typing import Any

import pytest
import requests

from curation.review import marks
from curation.run import layout
from curation.run.layout import RunFolder
from curation.storage.files import Storage
from curation.text_safety import escape_invisible
from tests.review.conftest import HOSTILE, TOKEN, Reviewed

POLICY = {"min_score": 0.3}
HEADERS = {"X-Tagscribe-Token": TOKEN}
MARK = {"entry": 0, "verdict": "good"}


def send(reviewed: Reviewed, path: str, question: object = None, **headers: str) -> Any:
    url = f"{reviewed.url}/api/{path}"
    sent = {**HEADERS, **headers}
    if question is None:
        return requests.get(url, headers=sent, timeout=60)
    return requests.post(url, json=question, headers=sent, timeout=60)


def rows(reviewed: Reviewed, **view: object) -> list[dict[str, Any]]:
    answered = send(reviewed, "view", {"policy": POLICY, **view})
    assert answered.status_code == 200, answered.text
    return list(answered.json()["rows"])


def test_all_but_the_pages_files_need_the_token(reviewed: Reviewed) -> None:
    for path in ("/", "/review.js", "/review.css", "/icon.svg"):
        assert requests.get(reviewed.url + path, timeout=60).status_code == 200
    for token in ("", "wrong", TOKEN[:-1], "ä"):
        sent = {"X-Tagscribe-Token": token.encode()}
        for path in ("about", "clips/2", "clips/2/sound"):
            refused = requests.get(f"{reviewed.url}/api/{path}", headers=sent, timeout=60)
            assert refused.status_code == 403
        refused = requests.post(f"{reviewed.url}/api/mark", json=MARK, headers=sent, timeout=60)
        assert refused.status_code == 403
    assert marks.read_marks(RunFolder.from_config(reviewed.config)) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
    ids=str,
)
def test_other_sites_are_refused_even_with_the_token(
    headers: dict[str, str], reviewed: Reviewed
) -> None:
    assert send(reviewed, "about", **headers).status_code == 403
    assert send(reviewed, "mark", MARK, **headers).status_code == 403
    assert requests.get(reviewed.url, headers=headers, timeout=60).status_code == 403
    assert marks.read_marks(RunFolder.from_config(reviewed.config)) == []


def test_it_listens_on_loopback_alone(reviewed: Reviewed) -> None:
    port = int(reviewed.url.rsplit(":", 1)[1])
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_no_script_but_the_pages_own_may_run(reviewed: Reviewed) -> None:
    for answered in (requests.get(reviewed.url, timeout=60), send(reviewed, "clips/999")):
        policy = answered.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/../run.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/clips/../../run.json",
        "/api/clips/%2e%2e%2frun.json/sound",
        "/api/clips/-1/sound",
        "/api/clips/0x1/sound",
        "/etc/passwd",
    ],
)
def test_nothing_is_served_by_its_path(path: str, reviewed: Reviewed) -> None:
    port = int(reviewed.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"X-Tagscribe-Token: {TOKEN}"]
        raw.sendall(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        answered = raw.makefile("rb").read()
    assert answered.split(b" ", 2)[1] in (b"404", b"400")
    assert b"config_hash" not in answered and b"root:" not in answered


def test_the_sound_of_a_clip_is_flac(reviewed: Reviewed) -> None:
    sound = send(reviewed, "clips/2/sound")
    assert sound.headers["Content-Type"] == "audio/flac" and sound.content[:4] == b"fLaC"
    assert send(reviewed, "clips/40/sound").status_code == 404
    silent = send(reviewed, "clips/1/sound")
    assert silent.status_code == 422 and "never decoded" in silent.json()["error"]


def test_a_sound_that_changed_is_not_played_as_what_was_captioned(
    reviewed: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {**reviewed.answers.evidence(2), "audio_sha256": "another"}
    monkeypatch.setattr(reviewed.answers, "evidence", lambda clip: row)
    refused = send(reviewed, "clips/2/sound")
    assert refused.status_code == 422 and "has changed" in refused.json()["error"]


def test_texts_of_strangers_leave_visible(reviewed: Reviewed) -> None:
    assert rows(reviewed, sort="clip")[0]["caption"] == escape_invisible(f"{HOSTILE} 0")
    clip = send(reviewed, "clips/0").json()
    assert clip["guidance"] == [escape_invisible(HOSTILE)] and clip["tags"][0][
        0
    ] == escape_invisible(HOSTILE)
    assert send(reviewed, "clips/1").json()["error"].endswith(escape_invisible(HOSTILE))
    assert "\u202e" not in send(reviewed, "about").text


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"text": "engine"}, 38),
        ({"text": "dogs bar"}, 38),
        ({"text": "dog bark"}, 38),
        ({"text": "do"}, 76),
        ({"text": "dog rain"}, 0),
        ({"text": "RAIN 7"}, 1),
        ({"error": 0}, 1),
        ({"outcome": "no_caption"}, 1),
        ({"marked": "marked"}, 0),
    ],
    ids=str,
)
def test_a_filter_shows_what_it_says(
    filter: dict[str, object], found: int, reviewed: Reviewed
) -> None:
    answered = send(reviewed, "view", {"policy": POLICY, "filter": filter}).json()
    assert answered["total"] == found == len(answered["rows"]) or found > 50


def test_scores_are_filtered_at_both_ends(reviewed: Reviewed) -> None:
    shown = rows(reviewed, filter={"lowest": 0.4, "highest": 0.5}, limit=200)
    every = rows(reviewed, limit=200)
    within = [row for row in every if 0.4 <= (row["clap_score"] or 0) <= 0.5]
    assert len(shown) == len(within) > 10 and len(every) > len(within)


def test_a_clip_is_found_by_the_start_of_its_id(reviewed: Reviewed) -> None:
    shown = rows(reviewed, filter={"text": "clip0001"}, sort="clip")
    assert {row["clip"] for row in shown} == set(range(10, 20))


def test_orders_are_what_they_say(reviewed: Reviewed) -> None:
    def scores(sort: str) -> list[float]:
        found = rows(reviewed, sort=sort, limit=60)
        return [row["clap_score"] for row in found if row["clap_score"] is not None]

    assert scores("best") == sorted(scores("best"), reverse=True)
    assert scores("worst") == sorted(scores("worst"))
    nearest = [abs(score - POLICY["min_score"]) for score in scores("threshold")]
    assert nearest == sorted(nearest)


def test_a_mark_is_written_before_it_is_answered(marking: Reviewed) -> None:
    said = {"entry": 8, "verdict": "corrected", "corrected": " rain on a roof "}
    assert send(marking, "mark", said).json()["mark"]["corrected"] == "rain on a roof"
    (written,) = marks.read_marks(RunFolder.from_config(marking.config))
    assert (written.verdict, written.corrected, written.marker) == (
        "corrected",
        "rain on a roof",
        "Ann",
    )
    assert written.sample is None
    assert written.second_score == pytest.approx(3 / 40)  # (3 * 7 + 2 * 11) % 40


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"entry": 10**9, "verdict": "good"}, 422),
        ({"entry": 1, "verdict": "good"}, 422),
        ({"entry": 2, "verdict": "corrected"}, 422),
        ({"entry": 2, "verdict": "good", "corrected": "x"}, 422),
        ({"entry": 2, "verdict": "fine"}, 400),
        ({"entry": 2, "verdict": "good", "path": "/etc"}, 400),
        ({"entry": 2, "verdict": "corrected", "corrected": "x" * 70_000}, 413),
    ],
    ids=lambda each: str(each)[:60],
)
def test_a_mark_that_makes_no_sense_is_not_written(
    said: dict[str, object], status: int, reviewed: Reviewed
) -> None:
    assert send(reviewed, "mark", said).status_code == status
    assert not Storage().exists(layout.marks_uri(reviewed.config.run))


def test_each_caption_comes_with_the_scores_that_there_are(
    reviewed: Reviewed, second_scorer: Reviewed
) -> None:
    once, twice = rows(reviewed, sort="clip")[6], rows(second_scorer, sort="clip")[6]
    assert (once["caption"], once["second_score"]) == ("a dog barks 3", None)
    assert once["log_prob"] == pytest.approx(-0.03)
    assert (twice["second_score"], twice["log_prob"]) == (pytest.approx(21 / 40), None)
    assert send(reviewed, "about").json()["second"] is None
    spread = send(second_scorer, "about").json()["second"]
    assert spread == pytest.approx({"lowest": 0.0, "highest": 39 / 40})
    assert send(reviewed, "about").json()["scores"].keys() == {"clap", "log_prob", "combined"}
    assert send(second_scorer, "about").json()["scores"] == {"clap": "CLAP score"}


def test_a_policy_on_scores_that_the_run_lacks_is_refused(
    reviewed: Reviewed, second_scorer: Reviewed
) -> None:
    for server, policy, lacking in (
        (reviewed, {"min_second_score": 0.2}, "no score of a second scorer"),
        (second_scorer, {"score": "log_prob"}, "no log-probability"),
        (second_scorer, {"score": "combined", "min_second_score": 0.2}, "no log-probability"),
    ):
        request = {"policy": policy}
        for path in ("view", "yield", "curve"):
            refused = send(server, path, request)
            assert refused.status_code == 422 and lacking in refused.json()["error"]
        for path in ("view", "yield"):
            refused = send(server, path, {"policy": {}, "other": policy})
            assert refused.status_code == 422 and lacking in refused.json()["error"]
    refused = send(second_scorer, "view", {"policy": {}, "filter": {"score": "combined"}})
    assert refused.status_code == 422


def test_what_the_second_scorer_rejects_has_its_reason(second_scorer: Reviewed) -> None:
    policy = {"max_per_clip": 4, "min_second_score": 0.5}
    rejected = {"outcome": "below_second_threshold"}
    answer = send(
        second_scorer, "view", {"policy": policy, "filter": rejected, "limit": 200}
    ).json()
    assert (
        answer["total"] == len(answer["rows"]) == answer["reasons"]["below_second_threshold"] > 10
    )
    assert all(row["second_score"] < 0.5 for row in answer["rows"])


def test_a_question_that_is_none_says_what_is_wrong_with_it(reviewed: Reviewed) -> None:
    wrong = send(reviewed, "view", {"policy": {"min_score": "high"}, "sort": "size"})
    assert wrong.status_code == 400
    assert "policy.min_score" in wrong.json()["error"] and "sort" in wrong.json()["error"]
    url = f"{reviewed.url}/api/view"
    assert requests.post(url, data="{", headers=HEADERS, timeout=60).status_code == 400


def test_numbers_are_json_whatever_the_scores(reviewed: Reviewed) -> None:
    json.loads(send(reviewed, "yield", {"policy": POLICY}).text, parse_constant=pytest.fail)
    json.loads(send(reviewed, "curve", {"policy": POLICY}).text, parse_constant=pytest.fail)
