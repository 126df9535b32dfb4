"""What a comparison leaves in its folder.

Knows files. Does not know how a figure came about.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from comparison.cases import Case
from comparison.combinations import label
from comparison.command import write_report
from comparison.study import Results
from comparison.study_page import html_page, page
from comparison.study_pictures import flat_fronts, front_plot, utility_plot
from comparison.study_report import Report
from evaluation.plots import save_plot


def write(report: Report, results: Results, case: Case, output: Path) -> None:
    """Writes report.json, report.md, report.html, responses.jsonl and pictures into a folder."""
    write_report(report, page(report), output)
    save_plot(utility_plot(report), output / "utility.png")
    for swept, found in flat_fronts(report).items():
        save_plot(front_plot(found), output / f"front-{swept}.png")
    (output / "report.html").write_text(html_page(report), encoding="utf-8")
    with (output / "responses.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(results, case))


def rows(results: Results, case: Case) -> Iterator[dict[str, object]]:
    """Gives every response at its method's chosen temperature, with its scores."""
    for name in results.records:
        record = results.chosen(name)
        temperature = results.temperature(name)
        for asked, by_seed in record.texts.items():
            for seed, texts in enumerate(by_seed):
                scores = record.outcome.scores[asked][seed]
                utility = scores.utility(asked)
                for place, (prompt, text) in enumerate(zip(case.prompts, texts, strict=True)):
                    yield {
                        "method": name, "preference": label(asked), "temperature": temperature, "seed": seed,
                        "messages": prompt.messages, "response": text, "utility": float(utility[place]),
                        "quality": float(scores.quality[place]),
                        "dimensions": {one: float(values[place]) for one, values in scores.dimensions.items()},
                    }  # fmt: skip
