#!/usr/bin/env python3
"""Writes tests/format/data/*.pt with PyTorch: what torch.save makes of tensors, and a hostile pickle."""
import argparse
import os
import zipfile
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parent / "data"


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch /tmp/zoetrope-was-tricked",))


def ramp(*shape, dtype=torch.float32):
    count = 1
    for d in shape:
        count *= d
    return (torch.arange(count) % 31).reshape(shape).to(dtype)


def main():
    DATA.mkdir(exist_ok=True)
    linear = torch.nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(ramp(2, 3))
        linear.bias.copy_(ramp(2))
    shared = ramp(4, 5)
    torch.save({
        "state_dict": linear.state_dict(),  # an OrderedDict with _metadata
        "parameter": torch.nn.Parameter(ramp(2, 2, dtype=torch.bfloat16)),
        "transposed": ramp(2, 3, 4).permute(2, 0, 1),
        "row": shared[2],
        "column": shared[:, 3],
        "half": ramp(3, dtype=torch.float16),
        "long": ramp(3, dtype=torch.int64),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5),
        "steps": 70000, "rate": 1e-4, "name": "tiny", "list": [ramp(1), None, (True, -3)],
    }, DATA / "tiny.pt")
    torch.save({"weight": ramp(2), "trick": Hostile()}, DATA / "hostile.pt")
    torch.save({"weight": torch._neg_view(ramp(2)), "plain": ramp(2)}, DATA / "negated.pt")
    weights = torch.tensor([[0.5, -1.0, 1.5], [2.0, -2.5, 3.0]])
    kinds = {  # of tensors, beside plain ones
        "expanded": ramp(1, 3).expand(2, 3),
        "everywhere": torch.tensor(2.5).expand(2, 2),
        "windows": torch.as_strided(ramp(4), (2, 3), (1, 1)),
        "parameter": torch.nn.Parameter(ramp(2, 1).expand(2, 2)),
        "signed": torch.quantize_per_tensor(weights, 0.1, 3, torch.qint8).T,
        "unsigned": torch.quantize_per_tensor(weights, 0.25, 100, torch.quint8),
        "by_channel": torch.quantize_per_channel(weights, torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8),
        "sparse": torch.eye(3).to_sparse(), "rows": torch.eye(3).to_sparse_csr(),
        "meta": torch.empty(2, 3, device="meta"), "nested": torch.nested.nested_tensor([ramp(2), ramp(3)]),
        "complex": torch.zeros(2, dtype=torch.complex64), "conjugate": torch.zeros(2, dtype=torch.complex64).conj(),
        "short": ramp(2, dtype=torch.int16), "deep": torch.zeros(1, 1, 1, 1, 1, 1, 2),
        "huge": torch.zeros(1).expand(1 << 20, 1 << 20), "array": np.zeros(2),
    }
    torch.save(kinds, DATA / "kinds.pt")
    for name in ("expanded", "everywhere", "windows", "parameter", "signed", "unsigned"):
        value = kinds[name].dequantize() if kinds[name].is_quantized else kinds[name]
        print(name, value.detach().flatten().tolist())
    run = {  # as training scripts save them
        "model": {"w": ramp(3) + 5}, "ema": {"w": ramp(3)},
        "opt": {"state": {0: {"step": 3, "exp_avg": ramp(3)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]},
        "args": argparse.Namespace(model="DiT-S/2", image_size=256, nested=argparse.Namespace(x=[1])),
        "loss": np.float64(0.25), "dtype": torch.float16, "device": torch.device("cpu"),
        "f8": torch.tensor([0, 0.5, -448, 1.125]).to(torch.float8_e4m3fn),
        "complex": torch.zeros(2, dtype=torch.complex64), "tags": {"a", "b"}, "raw": b"bytes",
        "buffer": torch.nn.Buffer(ramp(2)), "big": 10**40,
    }
    run["self"] = run
    torch.save(run, DATA / "training.pt")
    with zipfile.ZipFile(DATA / "tiny.pt") as source, \
            zipfile.ZipFile(DATA / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
