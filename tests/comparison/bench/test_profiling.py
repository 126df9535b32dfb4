from types import SimpleNamespace

import torch

from comparison.bench.profiling import LONGEST, profile_sheet, profiled


def entry(key, count, cpu, device=0.0):
    return SimpleNamespace(key=key, count=count, self_cpu_time_total=cpu, self_device_time_total=device)


def test_operations_are_ordered_by_their_own_time_with_shares_of_all():
    sheet = profile_sheet("bank", [entry("aten::add", 8, 1000.0), entry("aten::mm", 4, 3000.0)], turns=2)
    assert sheet.rows == [["`aten::mm`", "2", "1.500", "75.0 %"], ["`aten::add`", "4", "0.500", "25.0 %"]]
    assert sheet.title == "bank: 6 operations dispatched for each token, 2.00 ms."


def test_on_a_device_its_own_time_counts():
    entries = [
        entry("aten::mm", 2, 9000.0, device=1000.0),
        entry("launch", 2, 50000.0),
        entry("kernel", 2, 0.0, 3000.0),
    ]
    sheet = profile_sheet("bank", entries, turns=1)
    assert [line[0] for line in sheet.rows[:2]] == ["`kernel`", "`aten::mm`"]
    assert sheet.rows[0][3] == "75.0 %"


def test_only_the_longest_are_listed():
    assert len(profile_sheet("bank", [entry(f"aten::{n}", 1, 1.0) for n in range(40)], turns=1).rows) == LONGEST


def test_every_turn_is_profiled():
    ones = torch.ones(4, 4)
    entries = {one.key: one.count for one in profiled(lambda: ones @ ones, torch.device("cpu"), turns=3)}
    assert entries["aten::mm"] == 3
