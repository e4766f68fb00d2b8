#!/usr/bin/env python3
"""Reads every #include and fails on an arrow that the architecture forbids.

  graph       knows nothing above it
  models      know graph
  backends    know graph and runtime/backend; never one another
  runtime     knows graph; its media/ffmpeg is a module of its own
  runtime/cli is the composition root: it may include anything but backends
  runtime/c   is the same for other programs: include/ is theirs
  converters  know graph and models
  tests, bench know anything but backends' headers (their own unit tests lie in backends/)
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

OURS = {"include", "graph", "runtime", "backends", "models", "converters", "tests", "bench"}

# folder prefix -> prefixes that it may include; the longest prefix of a file decides.
ALLOWED = {
    "graph": ["graph"],
    "models": ["graph", "models"],
    "converters": ["graph", "models", "converters"],
    "runtime": ["graph", "runtime"],
    "runtime/c": ["graph", "runtime", "models", "converters", "include"],
    "runtime/cli": ["graph", "runtime", "models", "converters", "bench"],
    "tests": ["graph", "runtime", "models", "converters", "tests"],
    "tests/bench": ["graph", "runtime", "models", "converters", "tests", "bench"],
    "bench": ["graph", "runtime", "models", "converters", "bench"],
}


def rules_for(path):
    if path.startswith("backends/"):
        return ["graph", "runtime/backend", "/".join(path.split("/")[:2])]
    matches = [p for p in ALLOWED if path.startswith(p + "/")]
    return ALLOWED[max(matches, key=len)] if matches else None


def violations(path, text):
    allowed = rules_for(path)
    if allowed is None:
        return []
    bad = []
    for include in INCLUDE.findall(text):
        folder = str(Path(path).parent)
        if "/" not in include and (ROOT / folder / include).exists():
            bad.append(f"{path}: write \"{folder}/{include}\", from the root")
        elif include.split("/")[0] not in OURS:
            continue  # a library that is included with quotes
        elif not any(include.startswith(a + "/") for a in allowed):
            bad.append(f"{path}: must not include {include}; it may know {', '.join(allowed)}")
    return bad


def self_test():
    """Planted violations must be found, and legal arrows must not."""
    cases = [
        ("graph/a.cc", '#include "runtime/plan/plan.h"', 1),
        ("graph/a.cc", '#include "graph/graph.h"', 0),
        ("models/dit/a.cc", '#include "converters/convert.h"', 1),
        ("runtime/plan/a.cc", '#include "backends/cpu/x.h"', 1),
        ("runtime/plan/a.cc", '#include "models/toybox/toybox.h"', 1),
        ("runtime/cli/a.cc", '#include "converters/convert.h"', 0),
        ("runtime/c/a.cc", '#include "include/zoetrope.h"', 0),
        ("runtime/c/a.cc", '#include "backends/cpu/x.h"', 1),
        ("runtime/plan/a.cc", '#include "include/zoetrope.h"', 1),
        ("runtime/cli/a.cc", '#include "backends/cpu/x.h"', 1),
        ("backends/cpu/a.cc", '#include "backends/reference/x.h"', 1),
        ("backends/cpu/a.cc", '#include "runtime/plan/plan.h"', 1),
        ("backends/cpu/a.cc", '#include "runtime/backend/backend.h"', 0),
        ("backends/cuda/kernels/a.cu", '#include "runtime/plan/plan.h"', 1),
    ]
    for path, text, expected in cases:
        found = len(violations(path, text))
        if found != expected:
            sys.exit(f"self-test: {path} with {text}: {found} violations, expected {expected}")


def main():
    self_test()
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.inc", "*.cu", "*.cuh"], cwd=ROOT, text=True,
                            capture_output=True)
    files = listed.stdout.split()
    if listed.returncode != 0:  # an exported tree without git
        files = [str(p.relative_to(ROOT)) for e in ("h", "cc", "inc", "cu", "cuh") for p in ROOT.rglob(f"*.{e}")
                 if "build" not in p.parts]
    bad = [v for f in files if (ROOT / f).exists() for v in violations(f, (ROOT / f).read_text())]
    print("\n".join(bad) if bad else f"{len(files)} files: every include points the right way")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
