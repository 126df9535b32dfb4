"""The report for people: Markdown pages and terminal tables from the same rows.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from comparison.acceptance import drift

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """One table.

    Args:
        title: What it shows.
        header: Of its columns.
        rows: As texts.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Gives the table in Markdown, its title as a paragraph above."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return f"{self.title}\n\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def rich(self) -> Table:
        """Gives the table for a terminal."""
        table = Table(title=self.title, title_justify="left")
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def show(tables: Iterable[Sheet]) -> None:
    """Prints tables to the terminal."""
    console = Console()
    for sheet in tables:
        console.print(sheet.rich())


def methods_sheet(report: Report, temperature: str) -> Sheet:
    """Gives utility and quality of every method."""
    rows = [
        [name, *(shown_estimate(entries[temperature][key]) for key in ("utility", "quality", "preference"))]
        for name, entries in report["methods"].items()
    ]
    title = f"Every method at temperature {temperature}, with 95 % intervals over questions."
    return Sheet(title, ["method", "utility", "quality", "score on what is asked"], rows)


def experts_sheet(report: Report, temperature: str) -> Sheet:
    """Gives what each expert scores on its own dimension, its quality, and how far it went from the base for it."""
    base = report["methods"]["base"][temperature]["by_dimension"]
    rows = []
    for name in base:
        expert = report["methods"][f"expert-{name}"][temperature]
        beside = report["experts"][name][temperature]
        numbers = (expert["by_dimension"][name], base[name], expert["quality"], beside["beyond_base"], beside["nats"])
        shown = ["" if one is None else shown_estimate(one) for one in numbers]
        elsewhere = ""
        if len(report["axes"]) > 1:
            other, moved = drift(report, name, temperature)
            elsewhere = f"{moved:+.3f} {other}"
        rows.append([name, *shown, elsewhere])
    title = (
        f"Each expert alone at temperature {temperature}; nats are KL(expert‖base) of an answer, elsewhere is where it "
        "moved furthest on another axis."
    )
    header = ["dimension", "score on it", "base on it", "quality", "minus the base's", "nats", "elsewhere"]
    return Sheet(title, header, rows)


def pairs_sheet(report: Report, temperature: str) -> Sheet:
    """Gives by how much, and how often, the controlled mixture has more utility than each other method."""
    rows = [
        [
            pair.split("|")[1],
            shown_estimate(entries[temperature]["difference"]),
            shown_estimate(entries[temperature]["win_rate"]),
        ]
        for pair, entries in report["pairs"].items()
        if not pair.split("|")[1].startswith("expert-")
    ]
    title = f"Utility of {report['controlled']} minus that of each other method at temperature {temperature}, paired."
    return Sheet(title, ["minus", "difference", "win rate"], rows)


def contrasts_sheet(report: Report, temperature: str) -> Sheet:
    """Gives how much of each preference its own answers show, beyond those given for the opposite one."""
    entry = report["methods"][report["controlled"]][temperature]
    rows = [
        [asked.replace("+", ", "), shown_estimate(contrast), shown_estimate(entry["by_preference"][asked])]
        for asked, contrast in entry["contrast"].items()
    ]
    title = (
        f"What {report['controlled']} answers for each preference at temperature {temperature}: score on what is asked "
        "minus the same score of its answers for the opposite preference, and utility."
    )
    return Sheet(title, ["preference", "minus opposite", "utility"], rows)


def reader_sheet(report: Report) -> Sheet:
    """Gives how often the reader finds exactly what a text asks for."""
    rows = [[split, f"{found['alone']:.3f}", f"{found['combined']:.3f}"] for split, found in report["reader"].items()]
    title = "Texts of which the reader finds exactly the dimensions that are asked for."
    return Sheet(title, ["phrasings", "one dimension", "one pole of each axis"], rows)


def acceptance_sheet(report: Report, temperature: str) -> Sheet:
    """Gives every line that a bundle has to pass."""
    rows = [
        [line["claim"], f"{line['value']:.3f}", f"{line['bound']:.2f}", "yes" if line["holds"] else "NO"]
        for line in report["acceptance"][temperature]
    ]
    return Sheet(f"Acceptance at temperature {temperature}.", ["claim", "value", "bound", "holds"], rows)


def bars_sheet(report: Report) -> Sheet:
    """Gives the lines that a bundle has to pass, one column for each temperature."""
    columns = list(report["acceptance"].values())
    rows = []
    for lines in zip(*columns, strict=True):
        claim = lines[0]["claim"].split(", most on")[0]  # where an expert moved furthest may differ
        values = [f"{line['value']:.3f} {'✓' if line['holds'] else '✗'}" for line in lines]
        rows.append([claim, f"{lines[0]['bound']:.2f}", *values])
    return Sheet(
        "What the bundle is asked to show.", ["claim", "bar", *(f"T = {t}" for t in report["acceptance"])], rows
    )


def bars_page(report: Report) -> str:
    """Gives what a bundle is asked to show, and whether it does, in Markdown."""
    texts = [conditions(report), bars_sheet(report).markdown(), experts_sheet(report, "1").markdown()]
    if report["reader"] is not None:
        texts.append(reader_sheet(report).markdown())
    return "\n\n".join(text.strip() for text in texts)


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives all tables of a report."""
    for temperature in report["acceptance"]:
        yield methods_sheet(report, temperature)
        yield experts_sheet(report, temperature)
        yield pairs_sheet(report, temperature)
        yield contrasts_sheet(report, temperature)
        yield acceptance_sheet(report, temperature)
    if report["reader"] is not None:
        yield reader_sheet(report)


def page(report: Report) -> str:
    """Gives the whole report in Markdown."""
    return "\n".join(["# Results\n", f"{conditions(report)}\n", *(sheet.markdown() for sheet in sheets(report))])


def conditions(report: Report) -> str:
    """Gives the sentence that says what was measured."""
    settings = report["settings"]
    return (
        f"{settings['prompts']} questions that training never saw, {settings['preferences']} preferences, "
        f"{settings['seeds']} decoding seeds at temperature 1 and one at temperature 0; judged by the world's gold "
        "judge. Utility is quality times the mean score on what is asked, all in [0, 1]. "
        f"Bundle `{settings['bundle'][:12]}`; `python -m comparison` measures it again."
    )


def shown_estimate(numbers: Mapping[str, float]) -> str:
    """Gives a mean with its interval, in few digits."""
    return f"{numbers['mean']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]"
