#!/usr/bin/env python3
"""Writes tests/parity/data/wan/tiles_io.safetensors: what diffusers' tiled_decode and tiled_encode of Wan's autoencoder
make of frames that are several tiles high, or wide, and what the whole frame gives (pip install torch diffusers).

diffusers puts one more, shorter tile at the end; what lies before it, and beyond the first stride across, is compared.
"""
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

from make_wan import DATA, generator, last

TILE, STRIDE = 32, 16  # pixels; 8 to a latent


def main():
    model = AutoencoderKLWan.from_pretrained(DATA / "vae_2_1")
    tensors = {}
    with torch.no_grad():
        for name, (h, w) in (("rows", (8, 4)), ("columns", (4, 8))):
            g = generator(77)
            z = torch.randn(1, model.config.z_dim, 2, h, w, generator=g)
            video = (torch.rand(1, 3, 5, 8 * h, 8 * w, generator=g) * 2 - 1).half().float()
            tensors |= {f"{name}.in.latents": last(z), f"{name}.in.video": last(video).half()}
            model.disable_tiling()
            tensors[f"{name}.whole.video"] = last(model.decode(z).sample)
            tensors[f"{name}.whole.mean"] = last(model.encode(video).latent_dist.mode())
            model.enable_tiling(TILE, TILE, STRIDE, STRIDE)
            tensors[f"{name}.tiled.video"] = last(model.tiled_decode(z).sample)
            mean = model.tiled_encode(video).chunk(2, 1)[0]
            tensors[f"{name}.tiled.mean"] = last(mean)
            for what, scale in (("video", 8), ("mean", 1)):
                a, b = tensors[f"{name}.tiled.{what}"], tensors.pop(f"{name}.whole.{what}")
                print(name, what, f"tiles are {float((a - b).norm() / b.norm()):.3f} from the whole")
                rows, columns = ((6, 2) if h > w else (2, 6))
                tensors[f"{name}.tiled.{what}"] = a[:, :, :rows * scale, :columns * scale]
    save_file({k: v.contiguous() for k, v in tensors.items()}, DATA / "tiles_io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
