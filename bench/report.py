#!/usr/bin/env python3
"""Markdown tables of medians from Google Benchmark JSON: report.py ops.json [PEAK_F32 PEAK_BF16].

Pairs are benchmarks whose names differ in the last part only ("zoetrope" and the peer). Peaks are GFLOP/s of
the whole device; with them a column says what fraction ours reaches.
"""
import json
import statistics
import sys


def main() -> None:
    data = json.load(open(sys.argv[1]))
    peaks = dict(zip(("f32", "bf16"), map(float, sys.argv[2:4])))
    context = data["context"]
    print(f"{context.get('device', '?')}; features {context.get('features', '?').strip()}; "
          f"load {context.get('load_avg', ['?'])[0]}\n")
    rates: dict[str, dict[str, list[float]]] = {}
    for run in data["benchmarks"]:
        if run.get("run_type") == "aggregate" and run.get("aggregate_name") != "median":
            continue
        name = run.get("run_name", run["name"]).removesuffix("/real_time")
        shape, who = name.rsplit("/", 1)
        rate = run.get("GFLOP/s", run.get("GB/s"))
        rates.setdefault(shape, {}).setdefault(who, []).append(rate)
    medians = {s: {w: statistics.median(r) for w, r in by.items()} for s, by in rates.items()}
    print("| op | zoetrope | oneDNN | ratio |" + (" of peak |" if peaks else ""))
    print("|---|---:|---:|---:|" + ("---:|" if peaks else ""))
    for shape, by in medians.items():
        if "zoetrope" not in by or "onednn" not in by:
            continue
        ratio = by["zoetrope"] / by["onednn"]
        line = f"| {shape} | {by['zoetrope']:.0f} | {by['onednn']:.0f} | {ratio:.2f} |"
        peak = peaks.get(shape.split("/")[1])
        print(line + (f" {by['zoetrope'] / peak:.0%} |" if peak else ""))
    print("\n| memory-bound op | GB/s |\n|---|---:|")
    for shape, by in medians.items():
        for who, rate in by.items():
            if shape.startswith("memory/"):
                print(f"| {shape.removeprefix('memory/')} ({who}) | {rate:.1f} |")


if __name__ == "__main__":
    main()
