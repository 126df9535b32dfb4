"""The order of things, with methods whose answers and worths can be read off by eye."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from scripted import PROMPTS
from scripted_study import Likes, Worth, entries, reported, study

from comparison.judged import win_rates
from comparison.lineup import Entry, only, some_of
from comparison.remembered import Remembered
from comparison.study import BEST_SINGLE, ORACLE, Plan
from comparison.study_page import html_page, page
from comparison.study_told import pair, sentences


def test_settings_and_temperatures_are_chosen_by_the_chooser_on_validation_alone(tmp_path: Path):
    judge, chooser = Likes(), Likes()
    results = study(tmp_path, judge, chooser).run(entries())
    assert judge.seen == {"Why?", "How?", "What?"}
    assert chooser.seen == {"Who?", "When?"}
    assert results.choices["soup-best"].settings == {"scale": 2.0, "temperature": 0.0}
    assert results.choices["base"].settings == {"temperature": 0.0}
    assert results.records["soup-best"][0.0].outcome.utility_of(("warm",))[0, 0] == pytest.approx(0.9)
    assert results.records["soup-best"][1.0].outcome.utility().shape == (3, 2, 2)


def test_who_hears_what_is_kept_for_the_test_is_chosen_by_a_rehearsal(tmp_path: Path):
    """The rehearsal is better drawn from warmly: it, and not the line itself, decides about the temperature."""
    line, rehearsed = Worth("spoken", 1.0), Worth("spoken-rehearsed", 1.0, warmer=0.2)
    spoken = Entry("spoken", lambda settings: line, rehearse=lambda settings: rehearsed)
    results = study(tmp_path, Likes(), Likes()).run([*entries(), spoken])
    assert results.choices["spoken"].settings == {"temperature": 1.0}
    assert {path.parts[-3] for path in tmp_path.glob("v/spoken*/*/*.jsonl")} == {"spoken-rehearsed"}
    assert {path.parts[-3] for path in tmp_path.glob("t/spoken*/*/*.jsonl")} == {"spoken"}


def test_experts_are_composed_by_validation_and_by_the_judge(tmp_path: Path):
    """Validation asks with W: expert b is gifted there, and expert a alone would be better on nothing."""
    results = study(tmp_path, Likes(), Likes()).run(entries())
    assert set(results.chosen(BEST_SINGLE).texts[("warm",)][0]) == set(results.chosen("expert-b").texts[("warm",)][0])
    best, free = (results.chosen(name).outcome.utility().mean() for name in (BEST_SINGLE, ORACLE))
    assert free >= best > results.chosen("base").outcome.utility().mean()


def test_without_anybody_to_choose_every_method_runs_with_its_plain_settings(tmp_path: Path):
    results = study(tmp_path, Likes(), None).run(entries())
    assert results.choices["soup-best"].settings == {"scale": 1.0, "temperature": 1.0}
    assert BEST_SINGLE not in results.records
    assert ORACLE in results.records
    assert any("Nothing was chosen" in one for one in sentences(reported(tmp_path / "again")))


def test_a_study_goes_on_where_it_stopped_and_ends_with_the_same_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = reported(tmp_path / "once", Likes())
    stops = {"left": 9}
    plain = Worth.respond

    def stopping(self, *arguments):
        stops["left"] -= 1
        if stops["left"] == 0:
            raise KeyboardInterrupt
        return plain(self, *arguments)

    monkeypatch.setattr(Worth, "respond", stopping)
    with pytest.raises(KeyboardInterrupt):
        reported(tmp_path / "twice", Likes())
    kept = len(list((tmp_path / "twice").rglob("*.jsonl")))
    assert kept == 8
    counted = {"calls": 0}

    def counting(self, *arguments):
        counted["calls"] += 1
        return plain(self, *arguments)

    monkeypatch.setattr(Worth, "respond", counting)
    again = reported(tmp_path / "twice", Likes())
    assert counted["calls"] + kept == len(list((tmp_path / "once").rglob("*.jsonl")))
    assert again == whole
    assert json.loads(json.dumps(again)) == again


def test_scores_are_remembered_for_the_same_answers_and_for_no_others(tmp_path: Path):
    judge = Likes()
    kept = Remembered(judge, tmp_path, "one")
    first = kept.score(PROMPTS[:1], ["worth 0.5 x"])
    judge.seen.clear()
    again = kept.score(PROMPTS[:1], ["worth 0.5 x"])
    assert not judge.seen
    assert again.dimensions["cold"].tolist() == first.dimensions["cold"].tolist() == [0.25]
    assert kept.score(PROMPTS[:1], ["worth 0.7 x"]).dimensions["warm"].tolist() == [0.7]
    assert Remembered(judge, tmp_path, "two").score(PROMPTS[:1], ["worth 0.5 x"]) is not None
    assert judge.seen == {"Why?"}


def test_the_report_says_who_wins_by_how_much_and_with_what(tmp_path: Path):
    report = reported(tmp_path, Likes())
    methods = report["methods"]
    assert list(methods) == ["base", "expert-a", "expert-b", "soup-best", ORACLE, BEST_SINGLE]
    assert methods["soup-best"]["utility"]["mean"] == pytest.approx((0.9 + 0.45) / 2)
    assert methods["soup-best"]["by_temperature"]["1"]["utility"]["mean"] == pytest.approx((0.8 + 0.4) / 2)
    assert methods["soup-best"]["worst_dimension"]["name"] == "cold"
    assert methods["soup-best"]["rating"] > methods["base"]["rating"]
    assert methods["soup-best"]["on_front"]
    assert not methods["base"]["on_front"]
    found = pair(report, "soup-best", "base")
    assert found["difference"]["mean"] == pytest.approx(0.15)
    assert found["difference"] == {k: -report["pairs"]["base|soup-best"]["difference"][o] for k, o in TURNED.items()}
    assert found["win_rate"]["mean"] == found["decided"]["mean"] == 1.0
    assert pair(report, "base", "soup-best")["decided"]["high"] == 0.0
    assert report["choices"]["soup-best"]["settings"] == {"scale": 2.0, "temperature": 0.0}
    assert len(report["pairs"]) == 15
    assert report["pairs"]["base|soup-best"]["p"] == pytest.approx(2 / 8)  # two of the eight ways to swap three labels
    assert report["pairs"]["base|soup-best"]["p_holm"] == 1.0


def test_the_report_says_how_much_of_the_way_to_the_specialists_is_closed(tmp_path: Path):
    assert reported(tmp_path / "without", Likes())["gap"] is None
    ceiling = Entry("specialist", lambda settings: Worth("specialist", 2.5))
    report = reported(tmp_path / "with", Likes(), further=(ceiling,))
    assert (report["gap"]["from"], report["gap"]["to"]) == ("soup-best", "specialist")
    assert report["gap"]["closed"] is None  # the specialist is worse than the soup here
    assert not any("closes" in one for one in sentences(report))
    assert page(report).count("set apart") == 2
    report["gap"]["closed"] = {"mean": 0.5, "low": 0.4, "high": 0.6}
    report["gap"]["by_preference"]["cold"]["closed"] = {"mean": 0.5, "low": 0.4, "high": 0.6}
    told = "soup-best closes 0.500 [0.400, 0.600] of the gap between soup-best and specialist"
    assert f"{told} (set apart, for want of a gap: warm)." in sentences(report)


TURNED = {"mean": "mean", "low": "high", "high": "low"}


def test_a_soup_that_is_not_the_sum_it_promises_is_called_broken(tmp_path: Path):
    report = reported(tmp_path, Likes())
    assert not any("void" in one for one in sentences(report))
    report["soups"]["soup-best"] = {"error": 0.02, "promised": True, "broken": True}
    assert "not the sum of their experts' updates, their figures are void: soup-best." in " ".join(sentences(report))
    assert "| soup-best | 0.02 | yes | BROKEN |" in page(report)


def test_the_pages_hold_the_figures_and_need_nothing_beside_them(tmp_path: Path):
    report = reported(tmp_path, Likes())
    said = list(sentences(report))
    assert said[0].startswith("The highest utility is that of soup-best, 0.675")
    assert any("under 2 of 2 preferences: warm; cold." in one for one in said)
    assert "| soup-best | 0.675 [0.675, 0.675] |" in page(report)
    assert "judged by gold, chosen on 2 other questions by learned" in page(report)
    assert "| base | 2.50 | 3.0 | 1 | 0 | 0 | 0 |" in page(report)
    assert "| soup-best |  |  | 1 | 12,000 |  | 2, one a pole |" in page(report)
    shown = html_page(report)
    assert shown.count("<svg") == 6
    assert "src=" not in shown
    assert "<script" not in shown


def test_only_what_survives_the_correction_is_called_above_or_below(tmp_path: Path):
    report = reported(tmp_path, Likes())
    assert any("soup-best and these nothing is decided, corrected for 15" in one for one in sentences(report))
    report["pairs"]["base|soup-best"]["p_holm"] = 0.01
    assert "soup-best is above, corrected for 15 comparisons: base (+0.150 [+0.150, +0.150])." in sentences(report)
    report["reference"] = "base"
    assert "base is below, corrected for 15 comparisons: soup-best (-0.150 [-0.150, -0.150])." in sentences(report)


def test_methods_are_picked_by_patterns():
    assert [one.name for one in only(entries(), ["expert-*", "base"])] == ["base", "expert-a", "expert-b"]
    assert len(only(entries(), ["*"])) == 4
    assert some_of(entries(), ["pcm-*", "expert-*", "base"]) == ["expert-*", "base"]
    with pytest.raises(ValueError, match=r"methods must be among base, .* got stew-\*"):
        only(entries(), ["base", "stew-*"])


def test_a_plan_of_nothing_is_refused():
    with pytest.raises(ValueError, match="temperatures must be different ones"):
        Plan((1.0, 1.0), 1, 8)
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        Plan((1.0,), 0, 8)


def test_a_judge_of_pairs_sees_the_reference_s_answers_first(tmp_path: Path):
    class Longer:
        def wins(self, prompts, ours, theirs, asked):
            assert len(prompts) == len(ours) == len(theirs) == 3
            assert all("worth 0.9000" in text for text in ours)
            return np.array([float(asked == ("warm",))] * 3)

    results = study(tmp_path, Likes(), Likes()).run(entries())
    rates = win_rates(results, "soup-best", PROMPTS, Longer(), Progress(disable=True))
    assert list(rates) == ["base", "expert-a", "expert-b", ORACLE, BEST_SINGLE]
    assert rates["base"] == pytest.approx({"mean": 0.5, "low": 0.5, "high": 0.5})
    spoken = {"model": "some-model", "win_rates": rates, "replies": 90, "undecided": 7}
    report = reported(tmp_path, Likes()) | {"language_judge": spoken}
    assert "How often some-model, asked in both orders, prefers soup-best" in page(report)
    assert "Of 90 replies 7 held no verdict and count as ties." in page(report)
