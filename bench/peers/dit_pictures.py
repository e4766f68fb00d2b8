#!/usr/bin/env python3
"""diffusers' DiTPipeline from labels to PNG files, beside Zoetrope on the same GPU in the same minutes.

    ninja -C build/release zoetrope zoetrope_bench_pictures
    python3 bench/peers/dit_pictures.py --zoetrope build/release

DiT-XL/2 at 256 pixels with SD's autoencoder, random weights (speed does not depend on them), 8 images, guidance 4, 50 DDIM
steps, bf16. Both are warm: the model is loaded and has made one batch before. Prints images a second as JSON.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LABELS = [207, 360, 387, 974, 88, 979, 417, 279]


def make_pipeline(dtype):
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
    with torch.device("cuda"):
        transformer = DiTTransformer2DModel(
            num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, num_layers=28, sample_size=32,
            patch_size=2, num_embeds_ada_norm=1000)
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4)
    pipe = DiTPipeline(transformer.to(dtype).eval(), vae.to(dtype).eval(), DDIMScheduler(clip_sample=False))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def time_diffusers(args):
    import torch
    pipe = make_pipeline(getattr(torch, args.dtype))
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(args.runs + 1):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            images = pipe(LABELS[:args.batch], guidance_scale=4.0, num_inference_steps=args.steps,
                          generator=torch.Generator("cuda").manual_seed(run)).images
            for i, image in enumerate(images):
                image.save(Path(folder) / f"{i}.png")
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def time_zoetrope(args):
    """What zoetrope_bench_pictures prints."""
    compute = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}[args.dtype]
    programs = Path(args.zoetrope)
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "dit.zoe")
        subprocess.run([programs / "bin/zoetrope", "convert", "synthetic:dit-xl-2-pictures", "-q", "-o", model], check=True)
        out = subprocess.run([programs / "bench/zoetrope_bench_pictures", "--model", model, "--device", args.device,
                              "--compute", compute, "--batch", str(args.batch), "--steps", str(args.steps),
                              "--runs", str(args.runs), "--folder", folder], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoetrope", help="the build's folder; left out: diffusers alone")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--without-diffusers", action="store_true")
    args = parser.parse_args()
    out = {"batch": args.batch, "steps": args.steps, "dtype": args.dtype}
    if not args.without_diffusers:
        out["diffusers_seconds"] = time_diffusers(args)
        out["diffusers_images_per_second"] = args.batch / out["diffusers_seconds"]
    if args.zoetrope:
        out["zoetrope"] = time_zoetrope(args)
        if "diffusers_seconds" in out:
            out["times_as_fast"] = out["diffusers_seconds"] / out["zoetrope"]["seconds"]
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
