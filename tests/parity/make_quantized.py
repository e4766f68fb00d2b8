#!/usr/bin/env python3
"""Writes tests/parity/data/quantized.safetensors: what diffusers' Wan and DiT of the other fixtures compute when every
linear layer's numbers are first brought to 8 or 4 bits and back, by PyTorch code written from the definitions of the
ops quantize_rows, quantized_matmul and dequantize (pip install torch diffusers safetensors).
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DiTTransformer2DModel, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import nn

DATA = Path(__file__).parent / "data"
GROUP = 32


def rows_in_8_bits(x, fmt):
    """A factor a row; every operation in f32, rounded once."""
    x = x.float()
    largest = 127.0 if fmt == "int8" else 448.0
    most = x.abs().amax(-1, keepdim=True)
    nothing = most < 2.0 ** -100
    scale = torch.where(nothing, 0, most / largest)
    y = x * torch.where(nothing, 0, largest / torch.where(nothing, 1, most))
    q = y.round().clamp(-127, 127) if fmt == "int8" else y.to(torch.float8_e4m3fn).float()
    return q.double() * scale.double()


def groups_in_4_bits(w):
    """Whole numbers from -8 to 7 times an f16: of factors near the extreme / 8 and / 7 the one of least squared error, then,
    as long as that lowers the error, the one that fits the whole numbers which the last one gave."""
    columns = w.shape[1]
    x = F.pad(w.float(), (0, -columns % GROUP)).reshape(w.shape[0], -1, GROUP)
    extreme = x.gather(2, x.abs().argmax(2, keepdim=True))
    best, least = torch.zeros_like(extreme), torch.full_like(extreme, torch.inf)

    def consider(factor):
        d = factor.half().float()
        error = (x - (x / d).round().clamp(-8, 7) * d).square().sum(2, keepdim=True)
        better = error < least
        return torch.where(better, d, best), torch.where(better, error, least), bool(better.any())

    for divisor in (-8, -7.2, -6.4, 7, 6.2, 5.4):
        best, least, _ = consider(extreme / divisor)
    better = True
    while better:
        q = (x / best).round().clamp(-8, 7)
        best, least, better = consider((q * x).sum(2, keepdim=True) / q.square().sum(2, keepdim=True))
    return ((x / best).round().clamp(-8, 7) * best).reshape(w.shape[0], -1)[:, :columns].double()


class Quantised(nn.Module):
    def __init__(self, linear, fmt):
        super().__init__()
        self.fmt, self.bias = fmt, linear.bias
        self.weight = nn.Parameter(groups_in_4_bits(linear.weight) if fmt == "int4" else rows_in_8_bits(linear.weight, fmt))

    def forward(self, x):
        return F.linear(x if self.fmt == "int4" else rows_in_8_bits(x, self.fmt), self.weight, self.bias)


def quantised(model, fmt):
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Quantised(child, fmt))
    return model


def last(x):
    return x.movedim(1, -1)


def first(x):
    return x.movedim(-1, 1).double()


@torch.no_grad()
def main():
    # In double, as far as diffusers goes: else what is rounded here and there would differ at every tie.
    torch.set_default_dtype(torch.float64)
    wan = {k[5:]: v for k, v in load_file(DATA / "wan" / "t2v_io.safetensors").items() if k.startswith("0.in.")}
    dit = {k[5:]: v for k, v in load_file(DATA / "dit" / "plain_io.safetensors").items() if k.startswith("0.in.")}
    tensors = {}
    for fmt in ("int8", "fp8", "int4"):
        model = quantised(WanTransformer3DModel.from_pretrained(DATA / "wan" / "t2v").double().eval(), fmt)
        y = model(first(wan["video"]), timestep=1000 * wan["time"].double(), encoder_hidden_states=wan["text"].double())
        tensors[f"wan.{fmt}"] = last(y.sample)
        model = quantised(DiTTransformer2DModel.from_pretrained(DATA / "dit" / "plain").double().eval(), fmt)
        y = model(first(dit["latents"]), timestep=dit["time"].double(), class_labels=dit["labels"].long())
        tensors[f"dit.{fmt}"] = last(y.sample)
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, DATA / "quantized.safetensors")


if __name__ == "__main__":
    main()
