"""Clocks, counts and fits of the benchmarks."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.memory import live_tensor_bytes, peak_tensor_bytes
from benchmarks.results import Row, measured, ratios
from benchmarks.streaming import drift
from benchmarks.timing import WARM_UP_ROUNDS, interleave, log_log_slope, slope

CPU = torch.device("cpu")


def test_contestants_take_turns_and_warm_up():
    calls = []
    contestants = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = interleave(contestants, rounds=3, device=CPU, title="")
    assert calls == ["a", "b"] * (WARM_UP_ROUNDS + 3)
    assert [len(seconds) for seconds in times.values()] == [3, 3]


def test_peak_counts_what_is_alive_at_one_time():
    before = torch.zeros(2**20)

    def run():
        first = before.neg()
        del first
        second = before.neg()
        return second.neg()  # two of 4 MiB at one time

    assert peak_tensor_bytes(run, CPU) == 2 * 2**22


def test_live_tensors_count_each_storage_once():
    before = live_tensor_bytes(CPU)
    tensor = torch.zeros(1000)
    view = tensor[:10]
    assert live_tensor_bytes(CPU) - before == 4000
    del tensor, view
    assert live_tensor_bytes(CPU) == before


def test_slopes():
    assert slope([1, 2, 3], [5, 7, 9]) == pytest.approx(2)
    assert log_log_slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_live_tensors_leave_out_what_has_no_memory():
    before = live_tensor_bytes(CPU)
    with FakeTensorMode():
        fake = torch.zeros(1000)
    meta = torch.zeros(1000, device="meta")
    assert live_tensor_bytes(CPU) == before
    del fake, meta


def test_drift_over_a_stream():
    assert drift([4.0, 5.0, 6.0, 7.0]) == pytest.approx(100 * 4 / 5.5)  # one more a chunk, four chunks, median 5.5
    assert drift([3.0, 1.0, 1.0, 3.0]) == pytest.approx(0)


def test_rows():
    row = measured("what", "s", [1.0, 2.0, 3.0, 10.0, 4.0], at_least=2)
    assert (row.value, row.quartiles, row.met) == (3.0, (2.0, 4.0), True)
    assert Row("count", value=1.0).met is None
    assert Row("nothing", at_least=1.0).met is None
    assert Row("count", value=1.2, at_least=0.9, at_most=1.1).met is False
    assert ratios([4, 9], [2, 3]) == [2, 3]
