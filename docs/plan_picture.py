#!/usr/bin/env python3
"""Draws docs/plan-wan.svg: what `zoetrope plan` says of Wan at 832x480, 81 frames, within 8, 12, 24 and 80 GiB: its table as
it stands in a terminal, and the memory of each phase from its JSON.

    docs/plan_picture.py build/release/bin/zoetrope --device cuda      # any device will do for memory
"""
import argparse
import html
import json
import subprocess
import sys
from pathlib import Path

MODELS = ("wan2.1-1.3b", "wan2.1-14b")
BUDGETS = (8, 12, 24, 80)
GIB = 1 << 30
WIDTH, LINE, MARGIN, LEFT = 900, 17, 16, 150
PARTS = (("weights that stay", "#0072b2", lambda m: m["packed_bytes"] + m["raw_weight_bytes"]),
         ("room that streamed weights pass through", "#56b4e9", lambda m: m["slot_bytes"]),
         ("values and states", "#e69f00", lambda m: m["arena_bytes"]))


def run(program, command):
    done = subprocess.run([program, *command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def request(model):
    return ["plan", "a red ball rolls over wet sand", "--model", model, "--width", "832", "--height", "480", "--frames", "81",
            "--compute", "bf16"]


def phases(jobs):
    """The job that takes most of each: text, denoising, decoding."""
    found = {}
    for job in jobs:
        name = job["job"].split()[1 if job["job"].startswith("encode") else 0]  # "encode text", "decode video, first frame"
        if name not in found or job["memory"]["total_bytes"] > found[name]["total_bytes"]:
            found[name] = job["memory"]
    return found


class Drawing:
    def __init__(self):
        self.body, self.y = [], MARGIN

    def text(self, x, y, text, kind="s", anchor="start"):
        self.body.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}" xml:space="preserve">'
                         f'{html.escape(text)}</text>')

    def box(self, x, y, width, height, colour):
        self.body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height}" fill="{colour}"/>')

    def line(self, text, kind):
        self.y += LINE
        self.text(MARGIN, self.y - 4, text, kind)

    def legend(self):
        self.y += 12
        x = MARGIN
        for name, colour, _ in PARTS:
            self.box(x, self.y, 11, 11, colour)
            self.text(x + 17, self.y + 10, name)
            x += 40 + 6.6 * len(name)
        self.box(x, self.y - 1, 2, 13, "#cf222e")
        self.text(x + 8, self.y + 10, "the budget")
        self.y += 20

    def bars(self, plans):
        most = max(m["total_bytes"] for found in plans.values() for m in found.values())
        scale = (WIDTH - LEFT - 90) / most
        for budget, found in plans.items():
            self.text(MARGIN, self.y + 12, f"{budget} GiB", "b")
            top = self.y
            for name, memory in found.items():
                self.text(LEFT - 8, self.y + 11, name, anchor="end")
                x = LEFT
                for _, colour, size in PARTS:
                    self.box(x, self.y, size(memory) * scale, 13, colour)
                    x += size(memory) * scale
                line = LEFT + budget * GIB * scale
                self.text(line + 6 if x - 6 < line < x + 66 else x + 6, self.y + 11,
                          f"{memory['total_bytes'] / GIB:.2f} GiB")
                self.y += 17
            if budget * GIB <= most:
                self.box(LEFT + budget * GIB * scale - 1, top - 2, 2, self.y - top, "#cf222e")
            self.y += 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("plan-wan.svg"))
    args = parser.parse_args()
    on = ["--device", args.device]
    d = Drawing()
    for model in MODELS:
        command = request(model) + ["--compare", ",".join(f"{b}GiB" for b in BUDGETS)]
        shown = "$ zoetrope " + " ".join(f'"{c}"' if " " in c else c for c in command)
        at = shown.index(" --width")
        d.line(shown[:at] + " \\", "c")
        d.line("      " + shown[at + 1:], "c")
        for text in run(args.program, command + on).rstrip("\n").splitlines():
            d.line(text, "r")
        d.legend()
        d.bars({b: phases(json.loads(run(args.program, [*request(model), *on, "--memory", f"{b}GiB", "--json"]))["jobs"])
                for b in BUDGETS})
        d.y += 2 * LINE
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {d.y}" role="img" aria-label="zoetrope plan: Wan at '
           '832x480, 81 frames, within 8, 12, 24 and 80 GiB">\n<style>text{font:12px system-ui,sans-serif;fill:#1b1f24}.b{'
           'font-weight:600}.c,.r{font:12.5px monospace}.c{font-weight:700}</style>\n<rect width="100%" height="100%" '
           'fill="#fff"/>\n' + "\n".join(d.body) + "\n</svg>\n")
    args.output.write_text(svg)
    print(args.output, len(svg), "bytes")


if __name__ == "__main__":
    sys.exit(main())
