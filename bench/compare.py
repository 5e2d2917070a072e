#!/usr/bin/env python3
"""Lancet and llama.cpp on the same work in the same minutes: for each test rounds of Lancet, llama.cpp, llama.cpp, Lancet.

    bench/compare.py --model M.gguf [--lancet-model DIR] [--tests pp512,tg128,tg32@4096,tg32b4] [--rounds 3] [--markdown]

A round counts if the machine held still: the probes of `lancet bench` (memory or arithmetic, whichever limits the test) before, between
and after its four runs differ by at most 10 %, and others used at most --max-other CPUs. Rounds that do not count are repeated, at most
as often again as --rounds. One JSON line a test: ratio = median over the rounds of mean Lancet over mean llama.cpp; of_limit = speed
over what memory or arithmetic allowed in that round. Without a round that counts, ratio is null and all_ratios shows what there was.
The peer runs at its better setting of flash attention, which the first round finds out. --lancet-model: compare two files of one model.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOST_DRIFT = 0.10


def json_lines(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.strip()[-400:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


class Lancet:
    def __init__(self, args):
        self.command = [args.lancet, "bench", "-m", args.lancet_model or args.model, "--threads", args.threads, "-r", args.reps, "--json",
                        "--kv", "q8" if args.kv == "q8_0" else args.kv, *args.lancet_flags.split()]

    def run(self, test):
        """The test's line, with "probes": memory and arithmetic as they were before and after it."""
        lines = json_lines([*self.command, "--tests", test])
        result = next(line for line in lines if line["test"] != "probe")
        result["probes"] = [line for line in lines if line["test"] == "probe"]
        return result


class Peer:
    def __init__(self, args):
        self.command = [sys.executable, HERE / "peer_llama.py", "--model", args.model, "--threads", args.threads, "--reps", args.reps,
                        "--kv", args.kv]
        self.first = "1" if args.kv == "q8_0" else "1,0"  # quantised values need flash attention
        self.flash = {}  # the better setting of each test

    def run(self, test):
        lines = json_lines([*self.command, "--tests", test, "--fa", self.flash.get(test, self.first)])
        best = max(lines, key=lambda line: line["t_s"])
        self.flash[test] = str(best["fa"])
        return best


def drift(numbers):
    """How far apart the numbers are, as a share of the greatest."""
    return (max(numbers) - min(numbers)) / max(numbers)


def probe_numbers(runs, limited_by):
    def number(probe):
        if limited_by == "memory":
            return probe["read_gb_s"]
        return probe["int8_gmac_s"] or probe["f32_gmac_s"]
    return [number(probe) for run in runs for probe in run["probes"]]


def judge(ours, theirs, max_other):
    """One round as a dict; "counts" says whether the machine held still."""
    ours_t_s, theirs_t_s = (statistics.mean(run["t_s"] for run in runs) for runs in (ours, theirs))
    limit = statistics.mean(run["limit_t_s"] for run in ours)
    probes = probe_numbers(ours, ours[0]["limited_by"])
    other = max(statistics.median(run["other_cpu"]) for run in ours + theirs)
    return {"ratio": ours_t_s / theirs_t_s, "lancet": ours_t_s, "llama.cpp": theirs_t_s, "of_limit": ours_t_s / limit,
            "peer_of_limit": theirs_t_s / limit, "drift": drift(probes), "other_cpu": other, "probe": statistics.mean(probes),
            "counts": drift(probes) <= MOST_DRIFT and other <= max_other}


def summarise(test, limited_by, rounds):
    good = [r for r in rounds if r["counts"]]

    def median(key):
        return round(statistics.median(r[key] for r in good), 4) if good else None

    return {"test": test, "ratio": median("ratio"), "lancet_t_s": median("lancet"), "llama_cpp_t_s": median("llama.cpp"),
            "of_limit": median("of_limit"), "llama_cpp_of_limit": median("peer_of_limit"), "limited_by": limited_by,
            "probe": median("probe"), "rounds": len(good), "dropped": len(rounds) - len(good),
            "ratios": [round(r["ratio"], 3) for r in good], "all_ratios": [round(r["ratio"], 3) for r in rounds],
            "all_drift": [round(r["drift"], 3) for r in rounds], "all_other_cpu": [round(r["other_cpu"], 2) for r in rounds]}


def compare(test, lancet, peer, args):
    rounds = []
    while sum(r["counts"] for r in rounds) < args.rounds and len(rounds) < 2 * args.rounds:
        first = lancet.run(test)
        theirs = [peer.run(test), peer.run(test)]
        rounds.append(judge([first, lancet.run(test)], theirs, args.max_other))
    return summarise(test, first["limited_by"], rounds)


def markdown(results):
    def number(x, kind):
        return "–" if x is None else format(x, kind)

    lines = ["| test | Lancet, tokens/s | llama.cpp | ratio | of the limit: Lancet, llama.cpp | probe | rounds, dropped |", "|---|---|---|---|---|---|---|"]
    for r in results:
        unit = "GB/s" if r["limited_by"] == "memory" else "GMAC/s"
        lines.append(f"| {r['test']} | {number(r['lancet_t_s'], '.1f')} | {number(r['llama_cpp_t_s'], '.1f')} | {number(r['ratio'], '.2f')} | "
                     f"{number(r['of_limit'], '.0%')}, {number(r['llama_cpp_of_limit'], '.0%')} of {r['limited_by']} | "
                     f"{number(r['probe'], '.1f')} {unit} | {r['rounds']}, {r['dropped']} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lancet", default=str(HERE.parent / "build" / "lancet"))
    parser.add_argument("--model", required=True, help="a GGUF")
    parser.add_argument("--lancet-model", help="what Lancet runs instead: the same model in another format")
    parser.add_argument("--lancet-flags", default="", help="more flags of lancet bench: '--exact'")
    parser.add_argument("--tests", default="pp512,tg128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reps", type=int, default=2, help="counted repetitions of each run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", default="f16", choices=["f16", "q8_0"])
    parser.add_argument("--max-other", type=float, default=0.25)
    parser.add_argument("--markdown", action="store_true", help="also a table, at the end")
    args = parser.parse_args()
    lancet, peer = Lancet(args), Peer(args)
    results = []
    for test in args.tests.split(","):
        results.append(compare(test, lancet, peer, args))
        print(json.dumps(results[-1]), flush=True)
    if args.markdown:
        print("\n" + markdown(results))


if __name__ == "__main__":
    main()
