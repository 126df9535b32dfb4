"""The report of a comparison for people: Markdown, and one HTML page with its pictures inside.

Knows how the parts stand on a page. Does not know what they say.
"""

import html

from comparison.page import Sheet
from comparison.study_pictures import pictures
from comparison.study_sheets import (
    fronts_sheet,
    gap_sheet,
    headline_sheet,
    methods_sheet,
    pairs_sheet,
    sheets,
    temperatures_sheet,
)
from comparison.study_told import Report, conditions, sentences

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#111}"
    "table{border-collapse:collapse;font-size:13px;margin:.5rem 0 1.5rem}td,th{padding:.15rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def page(report: Report) -> str:
    """Gives the report in Markdown."""
    said = "".join(f"- {one}\n" for one in sentences(report))
    return "\n".join(["# Comparison\n", f"{conditions(report)}\n", said, *(one.markdown() for one in sheets(report))])


def headline(report: Report) -> str:
    """Gives what a newcomer wants to know: one table, and how it was measured."""
    return f"{headline_sheet(report).markdown().strip()}\n\n{conditions(report)}"


def summary(report: Report) -> str:
    """Gives what other pages show: conditions, what the figures say, and the tables that hold them."""
    said = "".join(f"- {one}\n" for one in sentences(report))
    shown = [methods_sheet(report), temperatures_sheet(report), pairs_sheet(report)]
    shown += [gap_sheet(report)] if report["gap"] else []
    shown += [fronts_sheet(swept, one, report["reference"]) for swept, one in report.get("fronts", {}).items()]
    return "\n".join([f"{conditions(report)}\n", said, *(one.markdown() for one in shown)])


def html_page(report: Report) -> str:
    """Gives the report as one HTML page that needs nothing beside itself."""
    said = "".join(f"<li>{html.escape(one)}</li>" for one in sentences(report))
    drawn = "".join(f"<h2>{html.escape(title)}</h2>{picture}" for title, picture in pictures(report).items())
    tables = "".join(_table(one) for one in sheets(report))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Comparison</title><style>{STYLE}</style>'
        f"<h1>Comparison</h1><p>{html.escape(conditions(report))}</p><ul>{said}</ul>{drawn}{tables}</html>\n"
    )


def _table(sheet: Sheet) -> str:
    """A sheet in HTML."""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in sheet.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>" for row in sheet.rows)
    return f"<p>{html.escape(sheet.title)}</p><table><tr>{head}</tr>{rows}</table>"
