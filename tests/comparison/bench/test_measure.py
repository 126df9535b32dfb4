from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from comparison.bench.measure import Bench, Effort, caches_of, rows_of
from comparison.bench.memory import cached_bytes
from comparison.bench.servers import Floor

CPU = torch.device("cpu")


def timed(name, engine, experts, times):
    return SimpleNamespace(name=name, engine=engine, experts=experts), times


def test_ratios_are_to_the_fastest_soup_and_to_the_own_engine_s_floor():
    servers, taken = zip(
        timed("soup", "eager", 3, [4.0, 4.0, 4.0]),
        timed("soup", "packed", 3, [2.0, 4.0, 1.0]),
        timed("floor", "eager", 3, [5.0, 8.0, 2.0]),
        timed("bank", "eager", 3, [6.0, 8.0, 4.0]),
        timed("bank", "packed", 3, [1.0, 1.0, 1.0]),
        strict=True,
    )
    rows = rows_of(servers, taken, [1, 2, 3, 4, 5], "decode", 8)
    assert [row["ratio_to_soup"] for row in rows] == [2.0, 1.0, 2.0, 3.0, 0.5]
    assert [row["ratio_to_floor"] for row in rows] == [0.8, None, 1.0, 1.2, None]
    assert [row["peak_bytes"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[3]["ms_per_token"] == 6.0
    assert rows[3]["spread"] == 2.0
    assert (rows[3]["batch"], rows[3]["phase"], rows[3]["rounds"]) == (8, "decode", 3)


def test_without_soup_or_floor_there_is_no_ratio():
    servers, taken = zip(timed("bank", "eager", 3, [6.0]), strict=True)
    row = rows_of(servers, taken, [0], "decode", 1)[0]
    assert (row["ratio_to_soup"], row["ratio_to_floor"]) == (None, None)


@pytest.fixture
def small():
    return Bench(CPU, 64, Effort(prompt_tokens=6, rounds=4, seconds=60.0, turns=2, largest_prefill=30))


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_cell_has_better_rows_after_every_round(servers, small, phase):
    names = ("soup", "floor", "bank", "peft-loop")
    found = list(small.cell([servers[name] for name in names], phase, 1))
    assert [rows[0]["rounds"] for rows in found] == [1, 2, 3, 4]
    assert [row["name"] for row in found[-1]] == list(names)
    assert [len(row["each_round"]) for row in found[-1]] == [4, 4, 4, 3]  # rivals stop after three
    assert all(row["ms_per_token"] > 0 and row["peak_bytes"] > 0 for row in found[-1])


def test_a_prefill_that_is_too_large_is_left_out_and_its_decoding_is_not(servers, small):
    three = [servers["soup"], servers["bank"], Floor("floor", servers["soup"].model, "eager", 3, rows=2)]
    assert [row["name"] for row in next(small.cell(three, "prefill", 2))] == ["soup", "floor"]
    assert [row["name"] for row in next(small.cell(three, "decode", 2))] == ["soup", "bank", "floor"]
    assert list(small.cell(three[:2], "prefill", 2)) == [], "a soup alone has nothing to be compared with"


def test_a_server_whose_caches_do_not_fit_into_memory_is_left_out_and_said_so(servers, small, monkeypatch):
    """A benchmark that fills the memory is killed without a word."""
    asked = []

    def refusing(needed, device):
        asked.append(needed)
        return "they need much" if len(asked) == 2 else None

    monkeypatch.setattr("comparison.bench.measure.no_room", refusing)
    three = [servers[name] for name in ("soup", "peft-loop", "bank")]
    *_, rows = small.cell(three, "decode", 2)
    assert [row["name"] for row in rows] == ["soup", "bank"]
    assert small.left_out == [f"decode of 2: peft-loop of {three[1].experts} experts: they need much"]
    *_, rows = small.cell(three, "decode", 4)
    assert asked[3] == pytest.approx(2 * asked[0], abs=1)  # twice the requests need twice the memory
    state, _ = small._going_on(three[0], 1)
    now, turns = cached_bytes(caches_of(state)), small.effort.rounds * small.effort.turns
    assert asked[0] == pytest.approx(2 * 2 * now * (1 + turns / small.effort.prompt_tokens), abs=1)  # caches grow


def test_what_tells_a_mixtures_own_time_is_left_out_of_large_batches(servers, small, monkeypatch):
    three = [servers[name] for name in ("soup", "bank", "bank-pass")]
    assert [row["name"] for row in next(small.cell(three, "decode", 8))] == ["soup", "bank", "bank-pass"]
    monkeypatch.setattr("comparison.bench.measure.LARGEST_OVERHEAD", 7)
    assert [row["name"] for row in next(small.cell(three, "decode", 8))] == ["soup", "bank"]


def test_another_way_that_is_too_slow_is_left_out_of_the_cell_and_ours_never(servers, small):
    names = ("soup", "floor", "bank", "peft-loop", "separate")
    small.effort = replace(small.effort, slowest_turn=0.0)
    rows = next(small.cell([servers[name] for name in names], "decode", 2))
    assert [row["name"] for row in rows] == ["soup", "floor", "bank"]
    assert [line.rsplit(" takes ")[0] for line in small.left_out] == [
        "decode of 2: peft-loop of 3 experts", "decode of 2: separate of 3 experts"
    ]  # fmt: skip
    small.effort = replace(small.effort, slowest_turn=60.0)
    assert len(next(small.cell([servers[name] for name in names], "decode", 2))) == 5
    assert small.left_out == []


def shape(tokens):
    return tuple(tokens.shape)


def read_by(contestant, turns, told=shape):
    """What a contestant's server is given."""
    given, server = [], contestant.server
    step = server.step
    server.step = lambda state, tokens: (given.append(told(tokens)), step(state, tokens))[1]
    try:
        for _ in range(turns):
            contestant.turn()
    finally:
        del server.step
    return given


def test_prefill_reads_whole_prompts_and_decode_one_token_of_each_request(servers, small):
    assert read_by(small.contestant(servers["bank"], "prefill", 3), 2) == [(3, 6), (3, 6)]
    small.contestant(servers["bank"], "decode", 3).turn()
    assert read_by(small.contestant(servers["bank"], "decode", 3), 3) == [(3, 1)] * 3


def test_a_bare_pass_reads_what_the_loop_would_have_it_read(servers, small):
    bare = small.contestant(servers["bank-pass"], "decode", 2)
    looped = replace(bare, bare=False)
    assert bare.bare
    for contestant in (bare, looped):
        contestant.turn()  # the first one also reads the prompt
    tokens = [read_by(contestant, 3, Tensor.tolist) for contestant in (bare, looped)]
    assert tokens[0] == tokens[1]
    assert bare._loop.__name__ == "steps"
    assert not small.contestant(servers["bank"], "decode", 2).bare


def test_decoding_goes_on_where_the_prompt_ended(servers, small):
    contestant = small.contestant(servers["bank"], "decode", 3)
    for length in (7, 8):
        contestant.turn()
        assert [cache.get_seq_length() for cache in contestant.caches()] == [length]
    assert contestant.caches()[0].layers[0].keys.shape[0] == 3 * 4


def test_what_is_cached_before_a_turn_counts_beside_what_the_turn_allocates(servers):
    """Caches grow by copies: without those that were there before, only about half of the difference would be seen."""
    long = Bench(CPU, 64, Effort(prompt_tokens=200, rounds=3, seconds=60.0, turns=1, largest_prefill=0))
    narrow, wide = (next(long.cell([servers["bank"]], "decode", batch))[0]["peak_bytes"] for batch in (1, 64))
    rows, length, layers, heads, width = 4, 201, 2, 2, 8
    assert wide - narrow > 1.5 * 63 * rows * length * layers * 2 * heads * width * 8
