#!/usr/bin/env python3
"""FlashAttention-4 at the attention shapes of `zoetrope bench ops`, for the same GPU in the same minutes.

    pip install torch "flash-attn-4[cu13]"
    zoetrope bench ops --devices cuda --filter attention --list --json cases.json
    python3 bench/peers/flash_attention_4.py --cases cases.json --json fa4.json

bf16 and f16 on Hopper and Blackwell; other cases are skipped. Its kernels are compiled at the first call of each shape.
"""
import importlib.metadata

import torch

import schema
from torch_timing import DTYPES, device_name, samples_of


def own_cases():
    for q, k, h, d in ((32760, 32760, 12, 128), (14040, 14040, 12, 128), (16384, 16384, 16, 64), (32760, 512, 12, 128)):
        shapes = [[1, q, h, d], [1, k, h, d], [1, k, h, d]]
        yield {"name": "scaled_dot_product_attention " + " ".join("x".join(map(str, s)) for s in shapes), "dtype": "bf16",
               "flops": 4.0 * q * k * h * d,
               "op": {"name": "scaled_dot_product_attention", "attrs": {}, "inputs": [
                   {"dtype": "bf16", "shape": s, "weight": False} for s in shapes]}}


def main():
    p = schema.parser(__doc__)
    p.add_argument("--cases", help="a JSON file of ours: its attention is measured")
    args = p.parse_args()
    from flash_attn.cute import flash_attn_func  # noqa: PLC0415: --help works without it
    report = schema.Report("flash-attention-4", importlib.metadata.version("flash-attn-4"))
    report.device(args.device, device_name(args.device))
    cases = schema.read_cases(args.cases, "op", ["scaled_dot_product_attention"]) if args.cases else own_cases()
    for row in cases:
        op, common = row["op"], dict(device=args.device, dtype=row["dtype"], family=row.get("family"),
                                     tokens=row.get("tokens"), flops=row.get("flops"), bytes=row.get("bytes"))
        if row["dtype"] not in ("bf16", "f16") or len(op["inputs"]) > 3:
            report.row("op", row["name"], skipped="not a case that it takes", **common)
            continue
        try:
            q, k, v = (torch.rand(i["shape"], device=args.device).mul_(2).sub_(1).to(DTYPES[row["dtype"]]) for i in op["inputs"])
            causal = op["attrs"].get("causal", False)
            with torch.inference_mode():
                samples, calls = samples_of(lambda: flash_attn_func(q, k, v, causal=causal), args.runs, args.device)
            report.row("op", row["name"], samples=samples, calls_a_sample=calls, **common)
        except Exception as e:  # a shape that it refuses: this row's error
            report.row("op", row["name"], error=e, **common)
    report.write(args.json)


if __name__ == "__main__":
    main()
