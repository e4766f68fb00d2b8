#!/usr/bin/env python3
"""What `zoetrope plan` predicts beside what runs take, over many settings: memory and time.

  bench/plan_accuracy.py build/release/bin/zoetrope --models build/release/share/zoetrope/toybox.zoe,dit.zoe --devices cpu
  bench/plan_accuracy.py ... --devices cuda:0,vulkan:0 --json accuracy.json

Each device is calibrated for the models first (--calibrate SECONDS, 0: not). A setting is planned, run --runs times and
compared by the median. On a machine that others use, --processor compares with the seconds of the processor, for devices
that are one thread of it (add --threads 1): what others take then does not count.
"""
import argparse
import json
import statistics
import subprocess
import sys

# Flags, and whether a model must read text (or know classes) for them.
TEXT = [
    [],
    ["--compute", "bf16"],
    ["--scale", "0.5"],
    ["--scale", "0.5", "--compute", "bf16"],
    ["--frames-scale", "2", "--steps", "6"],
    ["--steps", "4"],
    ["--sequential-guidance"],
    ["--guidance", "1"],
    ["--memory-scale", "0.6", "--steps", "6"],
    ["--memory-scale", "0.35", "--steps", "4"],
]
CLASSES = [
    ["--class", "1", "--steps", "4"],
    ["--class", "1", "--class", "2", "--steps", "4", "--compute", "bf16"],
    ["--class", "1", "--steps", "4", "--memory-scale", "0.6"],
]


def zoetrope(program, *args):
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True)


def plan(program, args):
    result = zoetrope(program, "plan", *args, "--json")
    if result.returncode not in (0, 5):  # 5: it does not fit
        sys.exit(f"plan {' '.join(map(str, args))}: {result.stderr}")
    return json.loads(result.stdout) if result.returncode == 0 else None


def resolve(program, base, setting, longer):
    """Flags that are parts of what the model does unasked become numbers."""
    first = plan(program, base)
    flags, i = [], 0
    while i < len(setting):
        name = setting[i]
        if name == "--scale":
            part = float(setting[i + 1])
            for side in ("width", "height"):
                flags += [f"--{side}", max(int(first[side] * part) // 32 * 32, 32)]
        elif name == "--frames-scale":
            frames = first["frames"]
            step = 4 if frames % 4 == 0 else 1
            flags += ["--frames", int(frames * float(setting[i + 1])) // step * step]
        elif name == "--steps":
            flags += ["--steps", int(setting[i + 1]) * longer]
        elif name == "--memory-scale":
            flags += ["--memory", int(first["peak_bytes"] * float(setting[i + 1]))]
        else:
            flags.append(name)
            i += 1
            continue
        i += 2
    if longer > 1 and "--steps" not in flags:
        flags += ["--steps", first["steps"] * longer]
    return [str(f) for f in flags]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--models", required=True, help="files between commas")
    parser.add_argument("--devices", default="cpu")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calibrate", type=float, default=60)
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--place", action="append", default=[], help="a placement to try as well, of text models")
    parser.add_argument("--only", default="", help="indices of settings between commas")
    parser.add_argument("--computes", default="f32,bf16", help="types to calibrate, between commas")
    parser.add_argument("--longer", type=int, default=1, help="times as many steps, for devices that need milliseconds for one")
    parser.add_argument("--json", default="")
    a = parser.parse_args()
    rows, bad = [], 0
    models = a.models.split(",")
    only = {int(i) for i in a.only.split(",") if i}
    devices = a.devices.split(",")
    for device in devices if a.calibrate > 0 else []:
        result = zoetrope(a.program, "calibrate", "--devices", device, "--threads", a.threads, "--models", a.models,
                          "--compute", a.computes, "--seconds", a.calibrate)
        print(result.stdout + result.stderr, end="", flush=True)
    for device in devices:
        base = ["--device", device, "--threads", a.threads]
        for model in models:
            reads_text = zoetrope(a.program, "plan", "a red ball", "--model", model).returncode == 0
            settings = TEXT + [["--place", p] for p in a.place] if reads_text else CLASSES
            for index, setting in enumerate(settings):
                if only and index not in only:
                    continue
                asked = (["a red ball"] if reads_text else []) + ["--model", model, *base]
                flags = resolve(a.program, asked if reads_text else asked + ["--class", "1"], setting, a.longer)
                told = plan(a.program, asked + flags)
                name = f"{device} {model.split('/')[-1]} {' '.join(flags)}"
                if told is None:
                    print(f"{name}: does not fit", flush=True)
                    continue
                seconds, peaks, tasks = [], [], {}
                for _ in range(a.runs):
                    result = zoetrope(a.program, "plan", *asked, *flags, "--measure", "--json")
                    if result.returncode != 0:
                        sys.exit(f"{name}: {result.stderr}")
                    measured = json.loads(result.stdout)["measured"]
                    seconds.append(measured["processor_seconds" if a.processor else "total_seconds"])
                    peaks.append(measured["peak_bytes"])
                    tasks = measured["tasks"]
                took = statistics.median(seconds)
                row = {"setting": name, "predicted_seconds": told["estimated_seconds"], "seconds": took,
                       "time_ratio": told["estimated_seconds"] / took, "predicted_bytes": told["peak_bytes"],
                       "bytes": max(peaks), "memory_ratio": told["peak_bytes"] / max(peaks),
                       "predicted_jobs": [[job["job"], job["load_seconds"], job["seconds"]] for job in told["jobs"]],
                       "tasks": tasks}
                good = abs(row["memory_ratio"] - 1) <= 0.01 and abs(row["time_ratio"] - 1) <= 0.15
                bad += not good
                rows.append(row)
                print(f"{row['predicted_seconds']:8.3f} s {took:8.3f} s  {row['time_ratio']:.3f}   "
                      f"{row['predicted_bytes'] / 2**20:9.1f} MiB {row['bytes'] / 2**20:9.1f} MiB  "
                      f"{row['memory_ratio']:.4f}  {'' if good else 'OFF '} {name}", flush=True)
    print(f"{len(rows)} settings, {len(rows) - bad} within 1% of memory and 15% of time")
    if a.json:
        with open(a.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
