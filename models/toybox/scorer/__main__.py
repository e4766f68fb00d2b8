"""python3 -m scorer: reads clips and says what they show. Run it in models/toybox."""

import argparse
import json
import sys

import numpy as np
import torch
import toydata

from . import evaluate, format_table, score_clip, tasks
from .media import find_clips, read_clip
from .score import match


def degrade(video, generator):
    """What an autoencoder does, roughly: a [1 2 1]/4 blur both ways and noise of sigma 0.02. video in [-1, 1]."""
    b, t, h, w, _ = video.shape
    k = torch.tensor([1.0, 2.0, 1.0]) / 4
    flat = video.permute(0, 1, 4, 2, 3).reshape(-1, 1, h, w)
    flat = torch.nn.functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    flat = torch.nn.functional.conv2d(flat, (k[:, None] * k[None])[None, None])
    blurred = flat.view(b, t, 3, h, w).permute(0, 1, 3, 4, 2)
    return blurred + torch.randn(blurred.shape, generator=generator) * 0.04  # 0.02 of the range of 2


def to_uint8(video):
    return ((video.float() + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def truth_clips(count, frames, height, width, seed, worse, spoil):
    """Ground-truth clips and, in `spoil`, their labels."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, count, 16):
        spec = toydata.sample_specs(min(16, count - start), seed * 1000 + start, split="all")
        clip = toydata.render(spec, frames, height, width)
        if worse:
            clip["video"] = degrade(clip["video"], generator)
            clip["audio"] = clip["audio"] + torch.randn(clip["audio"].shape, generator=generator) * 0.005
        spoil.extend(toydata.labels(spec, frames, height, width))
        yield from zip(to_uint8(clip["video"]), clip["audio"].numpy())


def main():
    parser = argparse.ArgumentParser(prog="scorer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    clip = commands.add_parser("clip", help="score one clip: an .npz, or a folder of PNG frames and a WAV")
    clip.add_argument("path")
    many = commands.add_parser("evaluate", help="score a folder of clips against labels")
    many.add_argument("folder")
    many.add_argument("labels", help="JSON list in the order of the clips, as `toydata heldout` writes it")
    truth = commands.add_parser("truth", help="score the scorer: ground-truth clips against what is known of them")
    truth.add_argument("--count", type=int, default=64)
    truth.add_argument("--frames", type=int, default=32)
    truth.add_argument("--height", type=int, default=96)
    truth.add_argument("--width", type=int, default=96)
    truth.add_argument("--seed", type=int, default=1)
    truth.add_argument("--degrade", action="store_true", help="blur, and noise of sigma 0.02, as an autoencoder adds")
    made = commands.add_parser("tasks", help="every task of the model by the program, scored on held-out scenes",
                               epilog="What stands behind -- goes to `zoetrope generate`: -- --device cuda --compute bf16")
    made.add_argument("program", help="zoetrope")
    made.add_argument("--count", type=int, default=256, help="scenes")
    made.add_argument("--jobs", type=int, default=1, help="programs at once")
    made.add_argument("--tasks", default=",".join(tasks.TASKS), help="between commas")
    for p in (many, truth):
        p.add_argument("--failures", action="store_true", help="say on stderr what went wrong, clip by clip")
    for p in (clip, many, truth, made):
        p.add_argument("--json", action="store_true", help="machine-readable output")
    given = sys.argv[1:]
    own = given.index("--") if given[:1] == ["tasks"] and "--" in given else len(given)
    args = parser.parse_args(given[:own])

    if args.command == "clip":
        result = score_clip(*read_clip(args.path))
        if args.json:
            print(json.dumps(result))
            return
        print(f"{result['count']} toy(s), {result['duration']:.2f} s")
        for toy in result["toys"]:
            print(f"  {toy['size']} {toy['colour']} {toy['shape']}: {toy['motion']}, impacts at",
                  ", ".join(f"{t:.2f}" for t in toy["impacts"]) or "none")
        print("  sound starts at", ", ".join(f"{t:.2f}" for t in result["onsets"]) or "no time")
        print(f"  {result['matched']} of {result['events']} events have their partner within two frames")
        return
    if args.command == "tasks":
        results = tasks.measure(args.program, args.count, given[own + 1:], args.tasks.split(","), args.jobs)
        print(json.dumps(results) if args.json else tasks.format_tasks(results))
        return
    if args.command == "evaluate":
        with open(args.labels) as f:
            labels = json.load(f)
        paths = find_clips(args.folder)
        if len(paths) != len(labels):
            sys.exit(f"{args.folder}: {len(paths)} clips, but {args.labels} has {len(labels)} labels")
        clips = (read_clip(p) for p in paths)
    else:
        labels = []
        clips = truth_clips(args.count, args.frames, args.height, args.width, args.seed, args.degrade, labels)
    extra = {"picture": [0, 0], "sound": [0, 0]}

    def progress(i, result, one):
        if args.failures and not one["all_right"]:
            print(f"clip {i}: wanted {json.dumps(labels[i])}\n  found {json.dumps(result)}", file=sys.stderr)
        if args.command == "truth":
            known = [e["time"] for e in labels[i]["impacts"]]
            for key, times in (("picture", result["impacts"]), ("sound", result["onsets"])):
                extra[key] = [a + b for a, b in zip(extra[key], match(times, known, result["duration"]))]

    summary = evaluate(clips, labels, progress)  # truth: labels grow as clips are drawn
    if args.command == "truth":
        summary.update({f"{k}_against_truth": a / max(b, 1) for k, (a, b) in extra.items()})
    print(json.dumps(summary) if args.json else format_table(summary))
    if args.command == "truth" and not args.json:
        for k in extra:
            print(f"{'impacts of the ' + k + ' against the truth':46} {extra[k][1]:6d} {summary[k + '_against_truth']:8.1%}")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
