#!/usr/bin/env python3
"""Markdown tables from Google Benchmark JSON: report.py [--best-cpu] ops.json [PEAK_F32 PEAK_BF16].

Medians of wall time; with --best-cpu the least processor time of the repetitions instead, for machines
that others keep busy (then run with --threads=1 and without --benchmark_report_aggregates_only). Pairs are benchmarks whose names differ in the last part only ("zoetrope" and the peer). Peaks are GFLOP/s of
the whole device; with them a column says what fraction ours reaches.
"""
import json
import statistics
import sys


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--best-cpu"]
    best = len(arguments) < len(sys.argv) - 1
    data = json.load(open(arguments[0]))
    peaks = dict(zip(("f32", "bf16"), map(float, arguments[1:3])))
    context = data["context"]
    print(f"{context.get('device', '?')}; features {context.get('features', '?').strip()}; "
          f"load {context.get('load_avg', ['?'])[0]}\n")
    rates: dict[str, dict[str, list[float]]] = {}
    unit: dict[str, str] = {}
    of_peak: dict[str, float] = {}
    for run in data["benchmarks"]:
        aggregate = run.get("run_type") == "aggregate"
        if aggregate and (best or run.get("aggregate_name") != "median"):
            continue
        name = run.get("run_name", run["name"]).removesuffix("/real_time").removesuffix("/manual_time")
        shape, who = name.rsplit("/", 1)
        rate = run.get("GFLOP/s", run.get("TFLOP/s", run.get("GB/s")))
        unit[shape] = next(u for u in ("GFLOP/s", "TFLOP/s", "GB/s") if u in run)
        if "of_peak" in run:
            of_peak[shape] = run["of_peak"]
        if best:
            rate *= run["real_time"] / run["cpu_time"]
        rates.setdefault(shape, {}).setdefault(who, []).append(rate)
    choose = max if best else statistics.median
    medians = {s: {w: choose(r) for w, r in by.items()} for s, by in rates.items()}
    if "TFLOP/s" in unit.values():
        print("| op on the device | rate | of peak |\n|---|---:|---:|")
        for shape, by in medians.items():
            peak = f"{of_peak[shape]:.0%}" if shape in of_peak else ""
            print(f"| {shape} | {max(by.values()):.1f} {unit[shape]} | {peak} |")
        return
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
