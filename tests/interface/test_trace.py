import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from decoding.dimension import Dimension
from decoding.response import Alternative, Response, Token
from interface.colours import PALETTE
from interface.explain import Change, Explanation, Part, Span
from interface.trace import trace_content, trace_page, write_page

DIMENSIONS = [Dimension("cold", "cold words"), Dimension("warm", "warm words")]
TOKEN = Token(
    1,
    "</script><b>",
    -0.1,
    {"warm": 0.5},
    {"warm": 0.4},
    {"base": -2.0, "warm": -1.0},
    {"base": [Alternative("\n", 0.5)], "warm": [Alternative(" x", 0.75)]},
)
RESPONSE = Response.of([TOKEN], {"warm": 0.9}, seconds=0.5)


def content() -> dict[str, object]:
    return trace_content("What <i>is</i> it?", "be warm", "anchored", DIMENSIONS, RESPONSE)


def test_the_page_holds_every_number_it_shows() -> None:
    found = re.search(r'<script type="application/json" id="trace">(.*?)</script>', trace_page(content()), re.DOTALL)
    assert found
    assert json.loads(found[1]) == content()
    (token,) = json.loads(found[1])["tokens"]
    assert token["logprobs"] == {"mixture": -0.1, "base": -2.0, "warm": -1.0}
    assert token["alternatives"]["warm"] == [[" x", 0.75]]
    assert (token["mover"], token["text"]) == ("warm", "</script><b>")


def test_the_page_asks_nothing_of_any_network() -> None:
    page = trace_page(content())
    addresses = set(re.findall(r"https?://[^\s\"']+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert not re.search(r"\b(src|href)=", page)


def test_no_text_of_a_model_can_become_markup() -> None:
    page = trace_page(content())
    assert "<b>" not in page
    assert "<i>" not in page
    assert "innerHTML" not in page


def test_a_dimension_has_the_same_colour_as_in_the_terminal() -> None:
    (shown,) = trace_content("x", None, "anchored", DIMENSIONS, RESPONSE)["dimensions"]
    assert shown == {"name": "warm", "description": "warm words", "colour": "#e8883a"}


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_page(path, "\ud800")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("page.html", "before")]
    write_page(path, "after")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("page.html", "after")]


def test_the_page_shows_the_explanation_where_there_is_one() -> None:
    why = Explanation([0.25], {"warm": Part(0.5, [Span(0, 0, "x")], [Change(0, "x", "<y>")])})
    shown = trace_content("x", None, "anchored", DIMENSIONS, RESPONSE, why)["explanation"]
    assert shown == {**why.as_json(), "nats": [0.25]}
    assert "<y>" not in trace_page(trace_content("x", None, "anchored", DIMENSIONS, RESPONSE, why))
    assert trace_content("x", None, "anchored", DIMENSIONS, RESPONSE)["explanation"] is None


def test_what_a_click_shows_stands_right_below_the_answer() -> None:
    page = trace_page(content())
    places = [page.index(f'id="{name}"') for name in ("answer", "heading", "readers", "plot", "explanation")]
    assert places == sorted(places)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("behind", PALETTE)
def test_probabilities_are_readable_on_their_bars(mode: str, behind: str) -> None:
    page = trace_page(content())
    paint = dict(re.findall(r"--(\w+): ([#\d]\w+)", "".join(re.findall(r":root[^}]*}", page)[: 1 + (mode == "dark")])))
    cells = "".join(re.findall(r"\.reader td[^}]*}", page))
    text = re.findall(r"color: var\(--(\w+)\)", cells) or ["ink"]
    tinted = [
        round(int(paint["tint"]) / 100 * over + (1 - int(paint["tint"]) / 100) * under)
        for over, under in zip(channels(behind), channels(paint["card"]), strict=True)
    ]
    lights = sorted([lightness(tinted), *(lightness(channels(paint[name])) for name in text)])
    assert (lights[-1] + 0.05) / (lights[0] + 0.05) >= 4.5  # WCAG 2.1, contrast of text


def channels(colour: str) -> list[int]:
    return list(bytes.fromhex(colour.removeprefix("#")))


def lightness(colour: list[int]) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_a_browser_shows_tokens_without_hanging_spaces_and_the_chosen_one_once(tmp_path: Path) -> None:
    alternatives = {"base": [Alternative(" sun", 0.75), Alternative(" sea", 0.25)], "warm": [Alternative(" sea", 1.0)]}
    token = Token(1, " sun", -0.1, {"warm": 0.5}, {"warm": -0.001}, {"base": -0.287682, "warm": -9.0}, alternatives)
    response = Response.of([token], {"warm": 0.9}, seconds=0.5)
    write_page(tmp_path / "page.html", trace_page(trace_content("Why?", None, "anchored", DIMENSIONS, response)))
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    shown = subprocess.run(
        [*browser, "--dump-dom", (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=60
    ).stdout
    assert re.search(r'<div id="answer"> <span class="token"[^>]*>sun</span></div>', shown)
    base, warm = (re.findall(r"<td>([^<]*)</td><td>([^<]*)</td>", card) for card in shown.split("<h3>")[2:4])
    assert base == [("␣sun", "75.0 %"), ("␣sea", "25.0 %")]
    assert [text for text, _ in warm] == ["␣sea", "␣sun"]
    assert "moved it 0.00 nats" in shown
