"""What the peers' scripts share: rows and files as `zoetrope bench` writes and reads them (bench/README.md has the schema).

A script measures the cases of one of our files (`zoetrope bench ops --list --json cases.json`, or the file of a run), so that
names are equal and rows pair; without one it has some of its own.
"""
import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path

SCHEMA = "zoetrope-bench/1"


def quantile(ordered, q):
    """By linear interpolation, as bench/stats.cc."""
    at = q * (len(ordered) - 1)
    below = int(at)
    if below + 1 >= len(ordered):
        return ordered[-1]
    return ordered[below] + (at - below) * (ordered[below + 1] - ordered[below])


def spread(samples):
    ordered = sorted(samples)
    middle = quantile(ordered, 0.5)
    return {
        "median": middle, "p10": quantile(ordered, 0.1), "p90": quantile(ordered, 0.9),
        "mad": statistics.median(abs(s - middle) for s in ordered), "least": ordered[0], "samples": len(ordered)}


class Report:
    """Rows in the order in which they came. write() leaves a whole file or none."""

    def __init__(self, program, version):
        self.json = {
            "schema": SCHEMA, "program": {"name": program, "version": version},
            "command": " ".join(shlex.quote(a) for a in ["python3", *sys.argv]),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "host": f"{platform.processor() or platform.machine()}, {platform.system()} {platform.release()}",
            "load_average": os.getloadavg()[0], "complete": True, "devices": [], "rows": []}

    def device(self, identifier, name):
        self.json["devices"].append({"id": identifier, "name": name, "features": [], "ceilings": []})

    def row(self, kind, name, *, device, dtype, program=None, samples=None, error=None, skipped=None, **more):
        """`more`: family, tokens, kernel, flops, bytes, calls_a_sample, held_bytes, ..."""
        row = {"kind": kind, "name": name, "program": program or self.json["program"]["name"], "device": device,
               "dtype": dtype, **{k: v for k, v in more.items() if v}}
        if samples:
            row["seconds"] = spread(samples)
        if error:
            row["error"] = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        if skipped:
            row["skipped"] = skipped
        self.json["rows"].append(row)
        shown = f"{row['seconds']['median'] * 1e3:.4g} ms" if samples else row.get("error") or row.get("skipped", "")
        print(f"{name}  {dtype}  {row['program']}  {shown}", file=sys.stderr, flush=True)

    def write(self, path):
        text = json.dumps(self.json, indent=1) + "\n"
        if path == "-":
            sys.stdout.write(text)
            return
        draft = Path(f"{path}.part")
        draft.write_text(text)
        os.replace(draft, path)


def read_cases(path, kind, filters=()):
    """The rows of `kind` in one of our files, each case and dtype once."""
    with open(path) as file:
        data = json.load(file)
    if data.get("schema") != SCHEMA:
        sys.exit(f"{path}: expected the schema {SCHEMA}; found {data.get('schema')}")
    seen, rows = set(), []
    for row in data["rows"]:
        key = (row["name"], row["dtype"])
        if row["kind"] != kind or key in seen or (filters and not any(f in row["name"] for f in filters)):
            continue
        seen.add(key)
        rows.append(row)
    if not rows:
        sys.exit(f"{path} has no case of kind {kind}" + (f" that contains {', '.join(filters)}" if filters else ""))
    return rows


def parser(description, device="cuda"):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", default="-", help="where the rows go; - is standard output")
    p.add_argument("--runs", type=int, default=9, help="samples a row")
    p.add_argument("--device", default=device, help="cuda, cuda:1, cpu")
    return p


def wall_samples(body, runs, warm=1, settle=lambda: None, clock=time.perf_counter):
    """Seconds of each call, from outside."""
    samples = []
    for i in range(runs + warm):
        settle()
        begin = clock()
        body()
        settle()
        if i >= warm:
            samples.append(clock() - begin)
    return samples
