#!/usr/bin/env python3
"""diffusers with random weights, eager, beside `zoetrope bench pipeline` of the same shapes: Wan 2.1 of 1.3B parameters (a
guided denoising step and decoding), and DiT-XL/2 from labels to PNG files.

    zoetrope convert synthetic:wan2.1-1.3b -o wan.zoe
    zoetrope convert synthetic:dit-xl-2-pictures -o dit.zoe
    python3 bench/peers/diffusers_pipelines.py wan --frames 33 81 --json wan.json
    python3 bench/peers/diffusers_pipelines.py dit --json dit.json
    zoetrope bench pipeline --models wan.zoe --frames 33 --steps 10 --devices cuda --dtypes bf16 --beside wan.json
    zoetrope bench pipeline --models dit.zoe --count 8 --steps 50 --devices cuda --dtypes bf16 --beside dit.json

Our decoding includes rounding to bytes and writing a file; diffusers' of Wan is the network alone.
"""
import sys
import tempfile
import time
from pathlib import Path

import torch

import schema
from torch_timing import DTYPES, device_name


def settle(device):
    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def measure(args, body):
    """(samples, most bytes held)."""
    cuda = args.device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    clock = time.process_time if args.processor else time.perf_counter
    samples = schema.wall_samples(body, args.runs, settle=settle(args.device), clock=clock)
    return samples, torch.cuda.max_memory_allocated() if cuda else 0


def report_row(report, args, name, body):
    try:
        samples, held = measure(args, body)
        report.row("pipeline", name, device=args.device, dtype=args.dtype, samples=samples, held_bytes=held)
    except Exception as e:  # out of memory, mostly: this row's error
        report.row("pipeline", name, device=args.device, dtype=args.dtype, error=e)


def wan(args, report):
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    with torch.device(args.device), torch.inference_mode():
        torch.set_default_dtype(DTYPES[args.dtype])
        dit = WanTransformer3DModel(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=args.layers).eval()
        text, t = torch.randn(1, 512, 4096), torch.tensor([500])
        size = f"wan2.1-1.3b {args.width}x{args.height}"

        def latents(frames):
            return torch.randn(1, 16, (frames - 1) // 4 + 1, args.height // 8, args.width // 8)

        for frames in args.frames:
            x = latents(frames)
            report_row(report, args, f"{size}x{frames}: a step",
                       lambda: [dit(x, timestep=t, encoder_hidden_states=text).sample for _ in range(2)])  # noqa: B023
        del dit
        vae = AutoencoderKLWan().eval()
        for frames in args.frames:
            z = latents(frames)
            report_row(report, args, f"{size}x{frames}: decode and write", lambda: vae.decode(z).sample)  # noqa: B023


def dit(args, report):
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
    with torch.device(args.device):
        network = DiTTransformer2DModel(num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8,
                                        num_layers=min(28, args.layers), sample_size=32, patch_size=2, num_embeds_ada_norm=1000)
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4)
    dtype = DTYPES[args.dtype]
    pipe = DiTPipeline(network.to(dtype).eval(), vae.to(dtype).eval(), DDIMScheduler(clip_sample=False))
    pipe.set_progress_bar_config(disable=True)
    labels = [i * 119 % 1000 for i in range(args.count)]
    with tempfile.TemporaryDirectory() as folder:
        def pictures():
            generator = torch.Generator(args.device).manual_seed(7)
            images = pipe(labels, guidance_scale=4.0, num_inference_steps=args.steps, generator=generator).images
            for i, image in enumerate(images):
                image.save(Path(folder) / f"{i}.png")
        many = f"{args.count} pictures of " if args.count > 1 else ""
        report_row(report, args, f"dit-xl-2-pictures {many}256x256: whole, {args.steps} steps", pictures)


def main():
    p = schema.parser(__doc__)
    p.add_argument("model", choices=["wan", "dit"])
    p.add_argument("--dtype", default="bf16", choices=DTYPES)
    p.add_argument("--width", type=int, default=832)
    p.add_argument("--height", type=int, default=480)
    p.add_argument("--frames", type=int, nargs="+", default=[33, 81])
    p.add_argument("--layers", type=int, default=30, help="fewer than the model has, for a test")
    p.add_argument("--count", type=int, default=8, help="pictures at once")
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--processor", action="store_true", help="seconds of the processor, all threads together: on a busy machine")
    args = p.parse_args()
    import diffusers
    report = schema.Report("diffusers", f"{diffusers.__version__}, PyTorch {torch.__version__}, eager")
    report.device(args.device, device_name(args.device))
    {"wan": wan, "dit": dit}[args.model](args, report)
    report.write(args.json)


if __name__ == "__main__":
    sys.exit(main())
