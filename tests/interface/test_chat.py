import dataclasses
import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from decoding.sampling import Sampling
from interface.answer import Settings
from interface.chat import Chat
from interface.terminal import Terminal
from mixture import Mixture
from pcm.preference import Preference


def chat(mixture: Mixture, lines: list[str]) -> tuple[Chat, io.StringIO]:
    out = io.StringIO()
    typed: Iterator[str] = iter(lines)

    def ask(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    terminal = Terminal(mixture.names, Console(file=out, width=200))
    return Chat(mixture, None, Settings(Sampling(0.0, max_new_tokens=6)), terminal, ask), out


def test_turns_alternate_and_are_remembered(mixture: Mixture) -> None:
    talk, _ = chat(mixture, ["What is it?", "", "And now?"])
    talk.run()
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"] * 2
    assert talk.turns[2]["content"] == "And now?"


def test_the_preference_changes_on_the_fly(mixture: Mixture) -> None:
    talk, out = chat(mixture, ["/weights friendly=-1", "/preference be warm"])
    before = mixture.understood(None)
    assert talk.asked == before
    talk.hear("/weights friendly=-1")
    assert talk.asked == {"unfriendly": 1.0}
    talk.hear("/preference be warm")
    assert talk.asked != {"unfriendly": 1.0}
    assert "asked: unfriendly 1.00" in out.getvalue()


def test_another_wish_leaves_what_is_usual_for_the_person(mixture: Mixture) -> None:
    talk, _ = chat(mixture, [])
    talk.preference = Preference(usual=Preference(weights={"concise": 0.5, "friendly": 1.0}))
    talk.hear("/weights friendly=-1")
    assert talk.asked == {"concise": 0.5, "unfriendly": 1.0}


def test_every_turn_is_told_what_is_asked_for_now(mixture: Mixture, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    stream = mixture.stream

    def reading(conversations: list[object], *rest: object):
        read.extend(conversations)
        return stream(conversations, *rest)

    monkeypatch.setattr(mixture, "stream", reading)
    talk, _ = chat(mixture, [])
    talk.settings = dataclasses.replace(talk.settings, told=True)
    for line in ("What is it?", "/preference be warm", "And now?", "/weights unfriendly=1,concise=0.2", "And then?"):
        talk.hear(line)
    fronts = [turns[0] for turns in read]
    assert fronts[0] == {"role": "user", "content": "What is it?"}  # nothing is asked for yet
    unfriendly = next(one.description for one in mixture.dimensions if one.name == "unfriendly")
    assert fronts[1:] == [{"role": "system", "content": words} for words in ("be warm", unfriendly)]
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"] * 3


def test_a_reset_forgets_the_turns_and_keeps_the_preference(mixture: Mixture) -> None:
    talk, _ = chat(mixture, ["/weights concise=1", "What is it?", "/reset"])
    talk.run()
    assert talk.turns == []
    assert talk.asked == {"concise": 1.0}


@pytest.mark.parametrize(
    "typed", ["/what", "/preference", "/weights bogus=1", "/weights friendly", "/weights concise=0"]
)
def test_a_mistake_is_told_and_changes_nothing(mixture: Mixture, typed: str) -> None:
    talk, out = chat(mixture, [])
    asked = talk.asked
    talk.hear(typed)
    assert out.getvalue().startswith("error: ")
    assert (talk.asked, talk.turns) == (asked, [])


def test_quit_leaves_and_help_lists_the_commands(mixture: Mixture) -> None:
    talk, out = chat(mixture, ["/help", "/quit", "never asked"])
    talk.run()
    assert talk.turns == []
    for command in ("/preference", "/weights", "/reset", "/help", "/quit"):
        assert command in out.getvalue()


def test_the_oldest_turns_are_forgotten_when_the_window_is_full(mixture: Mixture) -> None:
    talk, out = chat(mixture, [])
    talk.turns = [{"role": "user", "content": "volcano " * 80}, {"role": "assistant", "content": "x"}]
    talk.hear("Hi")
    assert "the oldest 2 turns do not fit any more" in out.getvalue()
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"]
    assert talk.turns[0]["content"] == "Hi"


def test_an_interrupted_answer_is_kept_as_far_as_it_came(mixture: Mixture, monkeypatch: pytest.MonkeyPatch) -> None:
    talk, out = chat(mixture, [])
    show, shown = talk.terminal.token, []

    def interrupt(token: object) -> None:
        if len(shown) == 3:
            raise KeyboardInterrupt
        shown.append(token)
        show(token)

    monkeypatch.setattr(talk.terminal, "token", interrupt)
    talk.hear("What is it?")
    assert "(stopped)" in out.getvalue()
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"]
