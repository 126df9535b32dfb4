"""The findings for people, as Markdown tables.

Knows rows of numbers. Does not know how they came about.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparison.bench.findings import Findings
from comparison.page import Sheet

Row = Mapping[str, Any]


def page(findings: Findings) -> str:
    """Gives everything in Markdown."""
    parts = ["# Cost", conditions(findings), *(sheet.markdown() for sheet in sheets(findings))]
    if findings.left_out:
        parts.append("Left out:\n" + "".join(f"\n- {line}" for line in findings.left_out))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def conditions(findings: Findings) -> str:
    """Gives the sentences that say what was measured, and on what."""
    settings, machine = findings.settings, findings.machine
    place = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return (
        f"Random weights of the shape {settings['shape']}, adapters of rank {settings['rank']} on seven projections, "
        f"prompts of {settings['effort']['prompt_tokens']} tokens. {place}, {machine['threads']} threads, "
        f"torch {machine['torch']}, transformers {machine['transformers']}, peft {machine['peft']}; "
        f"{findings.minutes:.0f} minutes. Milliseconds are medians for each token of a request (a turn of the loop "
        "answers the whole batch), ± the distance between quartiles. × soup is the median over rounds of the ratio to "
        "the fastest engine's soup, × floor to the bare base on as many rows in the same engine."
    )


def sheets(findings: Findings) -> Iterator[Sheet]:
    """Gives all tables."""
    cells = {(row["dtype"], row["phase"], row["batch"]): None for row in findings.rows}
    for dtype, phase, batch in cells:
        rows = [row for row in findings.rows if (row["dtype"], row["phase"], row["batch"]) == (dtype, phase, batch)]
        rows.sort(key=lambda row: row["experts"])
        yield cost_sheet(f"{phase.capitalize()} of {batch} in {dtype}.", rows)
    best = best_sheet(findings.rows)
    if best.rows:
        yield best
    if findings.load:
        yield load_sheet(findings)


def cost_sheet(title: str, rows: Sequence[Row]) -> Sheet:
    """Gives one line for each server of one cell."""
    lines = [
        [
            row["name"],
            str(row["experts"]),
            row["engine"],
            f"{row['ms_per_token']:.2f} ± {row['spread']:.2f}",
            times(row["ratio_to_soup"]),
            times(row["ratio_to_floor"]),
            f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        for row in rows
    ]
    return Sheet(title, ["method", "K", "engine", "ms per token", "× soup", "× floor", "peak MB"], lines)


def best_sheet(rows: Sequence[Row]) -> Sheet:
    """Gives the bank's fastest engine beside the fastest soup, whatever their precision, for decoding."""
    lines = []
    decoding = [row for row in rows if row["phase"] == "decode"]
    for batch, experts in sorted({(row["batch"], row["experts"]) for row in decoding}):
        cell = [row for row in decoding if (row["batch"], row["experts"]) == (batch, experts)]
        bank, soup = fastest(cell, "bank"), fastest(cell, "soup")
        if bank is not None and soup is not None:
            paired = bank["dtype"] == soup["dtype"]  # then both were timed in the same rounds
            ratio = bank["ratio_to_soup"] if paired else bank["ms_per_token"] / soup["ms_per_token"]
            lines.append([str(experts), str(batch), *told(bank), *told(soup), times(ratio)])
    title = "Each at its best: the fastest engine and precision of bank and soup, decoding."
    return Sheet(title, ["K", "batch", "bank by", "ms", "soup by", "ms", "ratio"], lines)


def load_sheet(findings: Findings) -> Sheet:
    """Gives how many requests each way answers in a second."""
    load = findings.settings["load"]
    lines = [
        [
            row["name"],
            row["engine"],
            row["dtype"],
            f"{row['seconds']:.2f} ± {row['spread']:.2f}",
            f"{row['requests_per_second']:.2f}",
            times(row["rate_over_mixture"]),
        ]
        for row in findings.load
    ]
    title = (
        f"{load['requests']} requests with {load['preferences']} preferences, each for {load['each']} of "
        f"{load['experts']} experts: prompts of {load['prompt_tokens']} tokens, answers of {load['new_tokens']}."
    )
    return Sheet(title, ["method", "engine", "dtype", "seconds", "requests per second", "× mixture"], lines)


def fastest(rows: Sequence[Row], name: str) -> Row | None:
    """Gives the fastest row of a method, None if there is none."""
    return min((row for row in rows if row["name"] == name), key=lambda row: row["ms_per_token"], default=None)


def told(row: Row) -> list[str]:
    """Gives what computed a row and its time."""
    return [f"{row['engine']} {row['dtype']}", f"{row['ms_per_token']:.2f}"]


def times(ratio: float | None) -> str:
    """Gives a ratio in few digits, a dash where there is none."""
    return "–" if ratio is None else f"{ratio:.2f}"
