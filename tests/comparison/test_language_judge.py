"""A judge behind a local endpoint that is as partial, forgetful and broken as real ones are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_endpoint import Endpoint, running_endpoint

from comparison.language_judge import LanguageJudge, verdict
from experts.miniature.corpus import Prompt
from pcm.chat import ChatModel

PROMPTS = [Prompt([{"role": "user", "content": text}], "") for text in ("Why?", "How?", "What?")]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as server:
        yield server


def judge(endpoint: Endpoint, folder: Path, **settings: object) -> LanguageJudge:
    model = ChatModel(endpoint.url, "some-model", patience=0.0, **settings)
    return LanguageJudge(model, folder, " and ".join)


def longer(text: str) -> str:
    first, second = (part.split("\n\n")[0] for part in (text.split("Answer A:\n")[1], text.split("Answer B:\n")[1]))
    return "A" if len(first) > len(second) else "B" if len(second) > len(first) else "tie"


def test_who_is_better_in_both_orders_wins(endpoint: Endpoint, tmp_path: Path):
    endpoint.says = longer
    ours, theirs = ["a long one", "x", "same"], ["short", "longer", "size"]
    assert judge(endpoint, tmp_path).wins(PROMPTS, ours, theirs, ("warm", "short")).tolist() == [1.0, 0.0, 0.5]
    question = endpoint.bodies[0]["messages"][0]["content"]
    assert "prefers: warm and short" in question
    assert "user: Why?" in question
    assert endpoint.bodies[0]["temperature"] == 0
    assert len(endpoint.bodies) == 6


@pytest.mark.parametrize("always", ["A", "B", "tie", "I cannot say."])
def test_a_judge_who_looks_at_the_place_alone_decides_nothing(endpoint: Endpoint, tmp_path: Path, always: str):
    endpoint.says = lambda text: always
    assert judge(endpoint, tmp_path).wins(PROMPTS[:1], ["one"], ["two"], ("warm",)).tolist() == [0.5]


def test_a_win_and_a_tie_are_no_win(endpoint: Endpoint, tmp_path: Path):
    endpoint.says = lambda text: "A" if "Answer A:\none" in text else "tie"
    assert judge(endpoint, tmp_path).wins(PROMPTS[:1], ["one"], ["two"], ("warm",)).tolist() == [0.5]


@pytest.mark.parametrize(
    ("reply", "decided"),
    [
        ("A", "A"),
        ("**B**", "B"),
        ("_B_.", "B"),
        ("Tie.", "TIE"),
        ("Answer A", "A"),
        ("My verdict: **tie**", "TIE"),
        ("B, because it gives a clear explanation.", "B"),
        ("**B** – it is a little warmer than A.", "B"),
        ("B\n\nAnswer A is a list, and no tie breaks that.", "B"),
        ("Answer A is better in tone. But B is right.\n\nB", "B"),
        ("Answer A has its points, so has B. The better answer is B.", "B"),
        ("A has a good start, but B suits this person better than A does.", None),
        ("I cannot say: a draw.", None),
        ("A clear explanation is missing in both.", None),
        ("A better answer would be brief. I prefer a friendly tone.", None),
        ("b", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_and_an_article_is_none(reply: str, decided: str | None):
    assert verdict(reply) == decided


def test_replies_without_a_verdict_are_counted_also_those_from_disk(endpoint: Endpoint, tmp_path: Path):
    endpoint.says = lambda text: "Hard to say." if "Answer A:\none" in text else "tie"
    for _ in range(2):
        asked = judge(endpoint, tmp_path)
        assert asked.wins(PROMPTS[:2], ["one", "x"], ["two", "y"], ("warm",)).tolist() == [0.5, 0.5]
        assert asked.told == {"replies": 4, "undecided": 1}
    assert len(endpoint.bodies) == 4


def test_the_last_word_of_a_long_reply_counts(endpoint: Endpoint, tmp_path: Path):
    endpoint.says = lambda text: f"Answer A has its points, so has B. My verdict: **{longer(text)}**."
    assert judge(endpoint, tmp_path).wins(PROMPTS[:1], ["longer"], ["one"], ("warm",)).tolist() == [1.0]


def test_nothing_is_asked_twice_not_even_after_a_stop(endpoint: Endpoint, tmp_path: Path):
    endpoint.says = longer
    first = judge(endpoint, tmp_path).wins(PROMPTS[:2], ["aa", "b"], ["a", "bb"], ("warm",))
    again = judge(endpoint, tmp_path).wins(PROMPTS, ["aa", "b", "c"], ["a", "bb", "cc"], ("warm",))
    assert again.tolist() == [*first.tolist(), 0.0]
    assert len(endpoint.bodies) == 6


def test_what_passes_is_waited_for_and_what_does_not_is_said(endpoint: Endpoint, tmp_path: Path):
    endpoint.failures, endpoint.says = [503, 429], longer
    assert judge(endpoint, tmp_path).wins(PROMPTS[:1], ["aa"], ["a"], ("warm",)).tolist() == [1.0]
    endpoint.failures = [401]
    with pytest.raises(ValueError, match="must reply with a chat completion, got status 401"):
        judge(endpoint, tmp_path / "other").wins(PROMPTS[:1], ["aa"], ["a"], ("warm",))
    endpoint.failures = [500] * 3
    with pytest.raises(ValueError, match="got status 500"):
        judge(endpoint, tmp_path / "third", attempts=3).wins(PROMPTS[:1], ["aa"], ["a"], ("warm",))
    assert not list((tmp_path / "third").rglob("*"))


def test_a_key_goes_into_the_header_and_into_no_file(endpoint: Endpoint, tmp_path: Path):
    judge(endpoint, tmp_path, key="secret-key").wins(PROMPTS[:1], ["aa"], ["a"], ("warm",))
    assert set(endpoint.keys) == {"Bearer secret-key"}
    assert not any("secret-key" in path.read_text() for path in tmp_path.rglob("*.json"))
