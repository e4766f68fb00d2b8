#!/usr/bin/env python3
"""edge-dit.cpp, a build of your own, beside `zoetrope bench pipeline`: what it says that generating takes ("gen" of its last
line), and a step as what twice as many steps take longer.

    python3 bench/peers/edge_dit_cpp.py --program edge-dit.cpp/build-cuda/bin/ed-cli --model-name wan2.1-1.3b --json ed.json -- \\
        --backend cuda --model Wan2.1-T2V-1.3B-Diffusers --cfg-scale 5.0 --flow-shift 5.0
"""
import re
import sys
from pathlib import Path

import external


def command(args, steps):
    name = "clip.avi" if args.frames > 1 else "picture.png"
    video = ["--video", "--frames", str(args.frames), "--fps", "16"] if args.frames > 1 else []
    return [args.program, *video, "--prompt", args.prompt, "--width", str(args.width), "--height", str(args.height),
            "--steps", str(steps), "--seed", "7", "--output", str(Path(args.folder) / name), *args.rest]


def read_log(log, seconds):
    told = re.findall(r"\[ED_WALL\].*?gen=([0-9.]+)ms", log)
    return {"whole": float(told[-1]) * 1e-3 if told else seconds}


if __name__ == "__main__":
    sys.exit(external.main(__doc__, "ed-cli", "edge-dit.cpp", command, read_log))
