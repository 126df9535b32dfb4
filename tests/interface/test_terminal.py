import io

from rich.console import Console

from decoding.response import Response, Token
from interface.terminal import Terminal

WARM = Token(1, "Oh", -0.1, {"warm": 0.5, "short": 0.1}, {"warm": 0.4, "short": 0.1})
PLAIN = Token(2, " no", -0.1, {"warm": 0.1, "short": 0.3}, {"warm": 0.0, "short": -0.2})
RESPONSE = Response.of([WARM, PLAIN], {"warm": 0.9, "short": 1.0}, seconds=0.5)


def printed(terminal: bool, tokens: list[Token]) -> str:
    out = io.StringIO()
    system = "truecolor" if terminal else None
    console = Console(file=out, force_terminal=terminal, color_system=system, no_color=False, width=60)
    watcher = Terminal(["warm", "short"], console)
    watcher.expect({"warm": 0.9, "short": 1.0})
    for token in tokens:
        watcher.token(token)
    watcher.summary(RESPONSE)
    return out.getvalue()


def test_each_token_has_the_colour_of_the_expert_that_moved_it_most() -> None:
    text = printed(True, [WARM, PLAIN])
    assert "\x1b[38;2;76;141;246mOh\x1b[0m no" in text
    legend = text.split("\n")[0]
    assert "\x1b[38;2;76;141;246m■ \x1b[0mwarm" in legend
    assert "\x1b[38;2;232;136;58m■ \x1b[0mshort" in legend


def test_an_answer_that_never_comes_prints_nothing() -> None:
    out = io.StringIO()
    Terminal(["warm"], Console(file=out, force_terminal=True)).expect({"warm": 1.0})
    assert out.getvalue() == ""


def test_off_a_terminal_there_are_no_colours_and_no_legend() -> None:
    assert printed(False, [WARM, PLAIN]) == (
        "Oh no\n\nasked: warm 0.90, short 1.00 | mean weights: warm 0.30, short 0.20 | 4.0 tokens/s\n"
    )


def test_a_model_cannot_steer_the_terminal() -> None:
    text = printed(False, [Token(3, "a\x1b[2Jb\x07c\x9bd\r\te\nf", -0.1, {}, {})])
    assert text.startswith("a[2Jbcd\te\nf")


def test_brackets_are_text_and_not_markup() -> None:
    assert printed(False, [Token(3, "[bold]x[/bold] :smile:", -0.1, {}, {})]).startswith("[bold]x[/bold] :smile:")


def test_a_long_answer_is_not_broken_into_lines() -> None:
    words = [Token(3, " word", -0.1, {}, {}) for _ in range(40)]
    assert printed(False, words).startswith(" word" * 40 + "\n")
