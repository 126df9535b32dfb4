"""What the figures say of the claims that matter: beside the bare base, beside PEFT, and for loop and controller.

Knows rows of numbers, each method at its fastest. Does not know how they came about.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from comparison.bench.summaries import paired_ratio
from comparison.bench.tables import fastest, times
from comparison.page import Sheet

Row = Mapping[str, Any]
PEFT = ("peft-loop", "peft-mixed")


def claims_sheet(rows: Sequence[Row], dtype: str) -> Sheet:
    """Gives, for each number of experts, what decoding one request costs beside the other ways.

    Args:
        rows: Of all cells.
        dtype: The precision to speak of.
    """
    cells = [row for row in rows if (row["phase"], row["batch"], row["dtype"]) == ("decode", 1, dtype)]
    lines = []
    for experts in sorted({row["experts"] for row in cells}):
        cell = [row for row in cells if row["experts"] == experts]
        bank, floor = fastest(cell, "bank"), fastest(cell, "floor")
        if bank is not None and floor is not None:
            lines.append([str(experts), shown(bank), shown(floor), times(over(bank, floor)), *_beside(cell, bank)])
    header = ["K", "bank ms", "floor ms", "bank ÷ floor", "best PEFT ÷ bank", "with loop ÷ bare pass"]
    header += ["controller ÷ bank", "gate at ⅓ ÷ bank"]
    return Sheet(f"Decoding one request in {dtype}, each at its fastest engine.", header, lines)


def engines_sheet(rows: Sequence[Row], experts: int) -> Sheet:
    """Gives what each engine and precision does to a decoding step of one request.

    Args:
        rows: Of all cells.
        experts: Of the bank; the nearest number that was measured is shown.
    """
    cells = [row for row in rows if (row["phase"], row["batch"]) == ("decode", 1)]
    nearest = min({row["experts"] for row in cells}, key=lambda count: abs(count - experts), default=experts)
    lines = []
    for dtype, engine in dict.fromkeys((row["dtype"], row["engine"]) for row in cells if row["name"] == "bank"):
        by_name = {
            row["name"]: row
            for row in cells
            if (row["dtype"], row["engine"], row["experts"]) == (dtype, engine, nearest)
        }
        if {"soup", "floor", "bank"} <= by_name.keys():
            timed = [f"{by_name[name]['ms_per_token']:.2f}" for name in ("soup", "floor", "bank")]
            lines.append([f"{engine} {dtype}", *timed, times(by_name["bank"]["ratio_to_floor"])])
    title = f"One decoding step of {nearest} experts, one request, by what computes it."
    return Sheet(title, ["engine", "soup ms", "floor ms", "bank ms", "bank ÷ floor"], lines)


def over(one: Row, other: Row) -> float:
    """Gives how many times as long one takes as another of its cell, paired by rounds."""
    return paired_ratio(one["each_round"], other["each_round"])


def shown(row: Row) -> str:
    """Gives a row's time with what computed it."""
    return f"{row['ms_per_token']:.2f} {row['engine']}"


def _beside(cell: Sequence[Row], bank: Row) -> list[str]:
    """PEFT's fastest way over the bank, the bank in its loop over its bare pass, controller and gate over the bank."""
    peft = [row for row in cell if row["name"] in PEFT]
    same = {row["name"]: row for row in cell if row["engine"] == bank["engine"]}
    return [
        times(min(over(row, bank) for row in peft) if peft else None),
        times(over(bank, same["bank-pass"]) if "bank-pass" in same else None),
        times(over(same["bank+controller"], bank) if "bank+controller" in same else None),
        times(over(same["bank+gate"], bank) if "bank+gate" in same else None),
    ]
