"""bench prints what its readers count on; bench/compare.py drops rounds in which the machine did not hold still."""
import importlib.util
import json
from types import SimpleNamespace

import pytest

from conftest import ROOT


def load_compare():
    spec = importlib.util.spec_from_file_location("compare", ROOT / "bench" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compare = load_compare()


def bench(lancet, model, *flags):
    return [json.loads(line) for line in lancet.text("bench", "-m", model, "-r", 2, "--json", *flags).splitlines()]


def test_every_test_has_a_line_between_two_probes(lancet, tiny):
    lines = bench(lancet, tiny / "fp8", "--tests", "pp20,tg4,tg3@10,tg2b3,pp5@7")
    assert [line["test"] for line in lines] == ["probe", "pp20", "tg4", "tg3@10", "tg2b3", "pp5@7", "probe"]
    for line in lines[1:-1]:
        assert line["t_s"] > 0 and len(line["runs"]) == len(line["other_cpu"]) == 2
        assert min(line["runs"]) <= line["t_s"] <= max(line["runs"])
        assert 0 < line["of_limit"] < 1.5 and line["limited_by"] in ("memory", "arithmetic") and len(line["probe_gb_s"]) == 2
    for line in (lines[0], lines[-1]):
        assert line["read_gb_s"] > 0.1 and line["f32_gmac_s"] > 0.1 and line["threads"] >= 1
    assert [lines[0]["when"], lines[-1]["when"]] == ["before", "after"]


def test_the_flags_of_old_name_the_same_tests(lancet, tiny):
    lines = bench(lancet, tiny / "fp8", "-p", 16, "-n", 4, "-d", 8, "-b", 2)
    assert [line["test"] for line in lines[1:-1]] == ["pp16@8", "tg4@8b2"]


@pytest.mark.parametrize("kernels", ["scalar"])
def test_a_table_without_int8_instructions_has_no_such_probe(lancet, tiny, kernels):
    probe = bench(lancet, tiny / "fp8", "-p", 0, "-n", 2, "--kernels", kernels)[0]
    assert probe["int8_gmac_s"] is None and probe["bf16_gmac_s"] is None and probe["f32_gmac_s"] > 0


@pytest.mark.parametrize("spec", ["pp", "tg0", "xx5", "tg5@", "tg5b0", "pp5b2", "tg5b257", "tg5 ", "tg5,,pp2", "tg99999999999999999999"])
def test_what_is_no_test_is_named(lancet, tiny, spec):
    assert "is no test" in lancet.refuses("bench", "-m", tiny / "fp8", "--tests", spec)


def test_a_test_beyond_the_context_is_refused_before_it_runs(lancet, tiny):
    assert "context" in lancet.refuses("bench", "-m", tiny / "fp8", "--tests", "tg4@1000000")


class Machine:
    """Stands for both programs: speeds and probes as told, one round after the other."""

    def __init__(self, rounds):
        self.rounds, self.calls = rounds, 0

    def lancet(self, test):
        facts = self.rounds[self.calls // 2]
        probes = facts["probes"][2 * (self.calls % 2):][:2]
        self.calls += 1
        return {"test": test, "t_s": facts["lancet"], "limit_t_s": 50.0, "limited_by": "memory", "other_cpu": [facts.get("other", 0)] * 2,
                "probes": [{"read_gb_s": p, "int8_gmac_s": 400, "f32_gmac_s": 100} for p in probes]}

    def peer(self, test):
        return {"test": test, "t_s": self.rounds[(self.calls - 1) // 2]["peer"], "other_cpu": [0, 0]}


def summary(rounds, wanted):
    machine = Machine(rounds)
    args = SimpleNamespace(rounds=wanted, max_other=0.25)
    return compare.compare("tg8", SimpleNamespace(run=machine.lancet), SimpleNamespace(run=machine.peer), args)


def test_the_ratio_is_the_median_of_the_rounds():
    still = [30, 31, 30, 31]
    got = summary([{"lancet": x, "peer": 20.0, "probes": still} for x in (30.0, 50.0, 40.0)], 3)
    assert got["ratio"] == 2 and got["lancet_t_s"] == 40 and got["of_limit"] == 0.8 and got["llama_cpp_of_limit"] == 0.4
    assert got["rounds"] == 3 and got["dropped"] == 0 and got["ratios"] == [1.5, 2.5, 2]


def test_rounds_with_moved_probes_or_other_work_are_dropped_and_repeated():
    got = summary([{"lancet": 90.0, "peer": 20.0, "probes": [30, 31, 30, 36]}, {"lancet": 40.0, "peer": 20.0, "probes": [30, 31, 30, 33]},
                   {"lancet": 90.0, "peer": 20.0, "probes": [30] * 4, "other": 0.5}, {"lancet": 60.0, "peer": 20.0, "probes": [30] * 4}], 2)
    assert got["ratio"] == 2.5 and got["rounds"] == 2 and got["dropped"] == 2 and got["all_ratios"] == [4.5, 2, 4.5, 3]


def test_without_a_still_round_there_is_no_ratio():
    got = summary([{"lancet": 40.0, "peer": 20.0, "probes": [20, 30, 40, 30]}] * 4, 2)
    assert got["ratio"] is None and got["rounds"] == 0 and got["dropped"] == 4
    assert "| tg8 | – | – | – |" in compare.markdown([got])


def test_the_table_has_a_row_a_test():
    rows = compare.markdown([summary([{"lancet": 40.0, "peer": 20.0, "probes": [30] * 4}], 1)]).splitlines()
    assert rows[2] == "| tg8 | 40.0 | 20.0 | 2.00 | 80%, 40% of memory | 30.0 GB/s | 1, 0 |"
