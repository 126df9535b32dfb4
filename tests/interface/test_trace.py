import json
import re
from pathlib import Path

import pytest

from decoding.dimension import Dimension
from decoding.response import Alternative, Response, Token
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
