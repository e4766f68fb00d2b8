"""python -m toydata preview OUT.png | heldout OUT.json | vocabulary: look at the data, or export what others need."""

import argparse
import json
import struct
import zlib

from . import EVALUATION_SEED, caption, evaluation_specs, labels, render, sample_specs, vocabulary


def write_png(path, pixels):
    """pixels [H, W, 3] uint8 array."""
    h, w, _ = pixels.shape
    rows = b"".join(b"\0" + pixels[y].tobytes() for y in range(h))

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def contact_sheet(video, step=3):
    """[B, T, H, W, 3] in [-1, 1] to one uint8 picture: a row a clip, every step-th frame."""
    import torch
    v = torch.nn.functional.pad(video[:, ::step].float(), (0, 0, 1, 1, 1, 1), value=-1.0)
    b, t, h, w, _ = v.shape
    v = v.permute(0, 2, 1, 3, 4).reshape(b * h, t * w, 3)
    return ((v + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()


def main():
    parser = argparse.ArgumentParser(prog="toydata", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preview = commands.add_parser("preview", help="contact sheet of random scenes")
    preview.add_argument("out")
    preview.add_argument("--seed", type=int, default=1)
    preview.add_argument("--clips", type=int, default=10)
    preview.add_argument("--frames", type=int, default=24)
    preview.add_argument("--height", type=int, default=96)
    preview.add_argument("--width", type=int, default=96)
    heldout = commands.add_parser("heldout", help="captions and labels of the evaluation scenes")
    heldout.add_argument("out")
    heldout.add_argument("--count", type=int, default=256)
    commands.add_parser("vocabulary", help="every word that captions can hold, one a line")
    args = parser.parse_args()
    if args.command == "vocabulary":
        print("\n".join(vocabulary()))
    elif args.command == "heldout":
        spec = evaluation_specs(args.count)
        rows = [{"caption": c, **label} for c, label in zip(caption(spec, EVALUATION_SEED), labels(spec, 32))]
        with open(args.out, "w") as f:
            json.dump(rows, f, indent=1)
    else:
        spec = sample_specs(args.clips, args.seed)
        write_png(args.out, contact_sheet(render(spec, args.frames, args.height, args.width, audio=False)["video"]))
        print("\n".join(caption(spec, args.seed)))


if __name__ == "__main__":
    main()
