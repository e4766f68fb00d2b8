#!/usr/bin/env python3
"""stable-diffusion.cpp, a build of your own, beside `zoetrope bench pipeline`: its process from start to file, and the times
of sampling and decoding that its log tells.

    python3 bench/peers/stable_diffusion_cpp.py --program sd.cpp/build/bin/sd-cli --model-name wan2.1-1.3b --json sd.json -- \\
        --diffusion-model wan.safetensors --vae wan_vae.safetensors --t5xxl umt5.safetensors --diffusion-fa

Each run loads the model; "a step" and "decode and write" do not count that. Videos use -M vid_gen; --frames 1 makes a picture.
"""
import sys
from pathlib import Path

import external


def command(args, steps):
    name = "clip.avi" if args.frames > 1 else "picture.png"
    video = ["-M", "vid_gen", "--video-frames", str(args.frames)] if args.frames > 1 else []
    return [args.program, *video, "-p", args.prompt, "-W", str(args.width), "-H", str(args.height), "--steps", str(steps), "-s", "7",
            "-o", str(Path(args.folder) / name), *args.rest]


def read_log(log, seconds):
    return {"whole": seconds, "sampling": external.total(r"sampling(?:\([^)]*\))? completed, taking ([0-9.]+)s", log),
            "decode": external.total(r"decode_first_stage completed, taking ([0-9.]+)s", log)}


if __name__ == "__main__":
    sys.exit(external.main(__doc__, "sd-cli", "stable-diffusion.cpp", command, read_log))
