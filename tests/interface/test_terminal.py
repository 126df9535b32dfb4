import io

from rich.console import Console

from decoding.response import Response, Token
from interface.terminal import Terminal

WARM = Token(1, "Oh", -0.1, {"warm": 0.5, "short": 0.1}, {"warm": 0.4, "short": 0.1})
PLAIN = Token(2, " no", -0.1, {"warm": 0.1, "short": 0.3}, {"warm": 0.0, "short": -0.2})
RESPONSE = Response.of([WARM, PLAIN], {"warm": 0.9, "short": 1.0}, seconds=0.5)


def printed(terminal: bool, tokens: list[Token], width: int = 60) -> str:
    out = io.StringIO()
    system = "truecolor" if terminal else None
    console = Console(file=out, force_terminal=terminal, color_system=system, no_color=False, width=width)
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


def flowing(pieces: list[str], width: int) -> str:
    """What a terminal is given of an answer that comes in these pieces, in no colour."""
    tokens = [Token(3, piece, -0.1, {}, {}) for piece in pieces]
    return printed(True, tokens, width).split("\n\n", 1)[1].split("\x1b[2m", 1)[0].rstrip("\n")


def test_a_word_that_does_not_fit_moves_to_the_next_line_whole() -> None:
    assert flowing(["Best of", " a", "ll", " this"], width=9) == "Best of a\x1b[1D\x1b[0K\nall this"
    assert flowing(["Best of", " all"], width=9) == "Best of \nall"
    assert flowing(["Best of all this"], width=9) == "Best of \nall this"


def test_a_space_at_the_edge_ends_the_line() -> None:
    assert flowing(["Best of", " all"], width=7) == "Best of\nall"
    assert flowing(["one\ntwo", " six"], width=4) == "one\ntwo\nsix"


def test_a_word_that_no_line_holds_stays_where_it_is() -> None:
    assert flowing(["see ", "https", "://long"], width=9) == "see https://long"


def test_lines_of_our_own_are_broken_at_spaces() -> None:
    out = io.StringIO()
    Terminal(["warm"], Console(file=out, force_terminal=True, color_system=None, width=20)).note(
        "led bravely and kindly on"
    )
    assert out.getvalue() == "led bravely and \nkindly on\n"
