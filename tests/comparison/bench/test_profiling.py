from types import SimpleNamespace

import torch

from comparison.bench.profiling import LONGEST, profile_row, profile_sheet, profiled


def entry(key, count, cpu, device=0.0):
    return SimpleNamespace(key=key, count=count, self_cpu_time_total=cpu, self_device_time_total=device)


def test_operations_are_ordered_by_their_own_time_with_shares_of_all():
    row = profile_row([entry("aten::add", 8, 1000.0), entry("aten::mm", 4, 3000.0)], turns=2)
    sheet = profile_sheet({"name": "bank", "experts": 3, "engine": "eager", "dtype": "float32", "batch": 1, **row})
    assert sheet.rows == [["`aten::mm`", "2", "1.500", "75.0 %"], ["`aten::add`", "4", "0.500", "25.0 %"]]
    told = "bank, 3 experts, batch 1, float32, eager: 6 operations dispatched for each token, 2.00 ms."
    assert sheet.title == told


def test_on_a_device_its_own_time_counts():
    entries = [
        entry("aten::mm", 2, 9000.0, device=1000.0),
        entry("launch", 2, 50000.0),
        entry("kernel", 2, 0.0, 3000.0),
    ]
    operations = profile_row(entries, turns=1)["operations"]
    assert [one["operation"] for one in operations[:2]] == ["kernel", "aten::mm"]
    assert operations[0]["share"] == 0.75


def test_only_the_longest_are_listed():
    row = profile_row([entry(f"aten::{n}", 1, 1.0) for n in range(40)], turns=1)
    assert len(row["operations"]) == LONGEST
    assert row["dispatched"] == 40


def test_every_turn_is_profiled():
    ones = torch.ones(4, 4)
    entries = {one.key: one.count for one in profiled(lambda: ones @ ones, torch.device("cpu"), turns=3)}
    assert entries["aten::mm"] == 3
