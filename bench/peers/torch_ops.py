#!/usr/bin/env python3
"""PyTorch's ops at the shapes of `zoetrope bench ops`, for the same machine in the same minutes.

    zoetrope bench ops --devices cuda --list --json cases.json
    python3 bench/peers/torch_ops.py --cases cases.json --json torch.json
    zoetrope bench ops --devices cuda --beside torch.json --html page.html

Products, attention and convolutions through PyTorch's own choice of library (cuBLAS, cuDNN); attention also by each way that
--attention names, as a program of its own ("pytorch-cudnn"). Chains of small ops (norms with modulation, gates, rotary
tables) through torch.compile, which fuses them as we do. f32 without TF32. What PyTorch has no single call for is skipped.
"""
import contextlib
import warnings

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import schema
from torch_timing import DTYPES, device_name, samples_of, version

WAYS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION, "math": SDPBackend.MATH}
ALL_DTYPES = {**DTYPES, "i32": torch.int32, "bool": torch.bool, "i8": torch.int8, "f8e4m3": torch.float8_e4m3fn,
              "i64": torch.int64}
ACTIVATIONS = {"none": lambda x: x, "silu": F.silu, "gelu": F.gelu, "relu": F.relu, "sigmoid": torch.sigmoid,
               "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "tanh": torch.tanh}
UNARY = {"neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
         "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
         "gelu_tanh": ACTIVATIONS["gelu_tanh"], "relu": F.relu, "floor": torch.floor}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "min": torch.minimum, "max": torch.maximum,
          "pow": torch.pow, "less": torch.lt, "equal": torch.eq}


class Unsupported(Exception):
    """No call of PyTorch's for it."""


def tensor(spec, device):
    dtype = ALL_DTYPES[spec["dtype"]]
    if dtype in (torch.int32, torch.int64, torch.bool):
        return torch.zeros(spec["shape"], device=device, dtype=dtype)
    if dtype == torch.int8:
        return torch.randint(-127, 128, spec["shape"], device=device, dtype=dtype)
    return torch.rand(spec["shape"], device=device).mul_(2).sub_(1).to(dtype)


def convolution(x, weight, bias, attrs):
    """Channels last in and out, as ours; the permuted views are PyTorch's channels_last."""
    space = x.dim() - 2
    zeros, ones = [0] * space, [1] * space
    low, high = attrs.get("pad_lo") or zeros, attrs.get("pad_hi") or zeros
    if low != high or any(attrs.get("replicate") or zeros):
        raise Unsupported("padding that differs on two sides, or repeats edges")
    call = (F.conv1d, F.conv2d, F.conv3d)[space - 1]
    first = (0, space + 1, *range(1, space + 1))
    x, weight = x.permute(first), weight.permute(first)
    if bias is not None:
        bias = bias.to(x.dtype)
    activation = ACTIVATIONS[attrs.get("activation", "none")]
    return lambda: activation(call(x, weight, bias, attrs.get("stride") or ones, low, attrs.get("dilation") or ones,
                                   attrs.get("groups", 1)))


def norm(x, kind, epsilon):
    if kind == "layer":
        return F.layer_norm(x.float(), x.shape[-1:], eps=epsilon)
    return x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + epsilon)


def modulated(x, kind, epsilon, scale, shift, weight, bias):
    y = norm(x, kind, epsilon)
    if weight is not None:
        y = y * weight.float()
    if bias is not None:
        y = y + bias.float()
    if scale is not None:
        y = y * (1 + scale.float())
    return (y if shift is None else y + shift.float()).to(x.dtype)


def rotate(x, cos, sin, mode):
    if mode == "split":
        a, b = x.float().chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(x.dtype)
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def fused(function, *tensors):
    """A chain of small ops, as torch.compile makes it one."""
    compiled = torch.compile(function, dynamic=False)
    return lambda: compiled(*tensors)


def quantized(a, scale_a, b, scale_b):
    if a.dtype == torch.int8:
        return lambda: (torch._int_mm(a, b.t()) * scale_a * scale_b).to(torch.bfloat16)
    row = scale_b.reshape(1, -1)
    return lambda: torch._scaled_mm(a, b.t(), scale_a=scale_a, scale_b=row, out_dtype=torch.bfloat16, use_fast_accum=False)


def attention(q, k, v, attrs):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [batch, heads, tokens, dim], where ours lies
    grouped = k.shape[1] != q.shape[1]
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=attrs.get("causal", False), enable_gqa=grouped)


def make(op, device):
    """One call of the case, on data of its own."""
    name, attrs = op["name"], op["attrs"]
    x = [None if i is None else tensor(i, device) for i in op["inputs"]]
    x += [None] * (8 - len(x))
    if name in UNARY:
        return lambda: UNARY[name](x[0])
    if name in BINARY:
        return lambda: BINARY[name](x[0], x[1])
    if name in ("matmul", "fused_linear"):
        weight = x[1] if attrs.get("transpose_b") else x[1].t()
        activation = attrs.get("activation", "none")
        bias = None if x[2] is None else x[2].to(x[0].dtype)
        if x[1].dim() != 2:
            return lambda: torch.matmul(x[0], x[1].transpose(-1, -2) if attrs.get("transpose_b") else x[1])
        if activation == "gelu_tanh" and bias is not None and x[0].dim() == 2 and x[0].is_cuda:  # one fused kernel
            return lambda: torch._addmm_activation(bias, x[0], weight.t(), use_gelu=True)
        return lambda: ACTIVATIONS[activation](F.linear(x[0], weight, bias))
    if name == "scaled_dot_product_attention" and x[3] is None:
        return attention(x[0], x[1], x[2], attrs)
    if name in ("conv", "fused_conv"):
        return convolution(x[0], x[1], x[2], attrs)
    if name == "quantized_matmul" and x[4] is None:
        return quantized(x[0], x[1], x[2], x[3])
    if name == "rms_norm":
        return lambda: F.rms_norm(x[0], x[0].shape[-1:], x[1], attrs["epsilon"])
    if name == "layer_norm":
        return lambda: F.layer_norm(x[0], x[0].shape[-1:], None if x[1] is None else x[1].to(x[0].dtype), None, attrs["epsilon"])
    if name == "softmax":
        return lambda: F.softmax(x[0], attrs.get("axis", -1))
    if name in ("reduce_mean", "reduce_sum", "reduce_max"):
        call = {"reduce_mean": torch.mean, "reduce_sum": torch.sum, "reduce_max": torch.amax}[name]
        return lambda: call(x[0], dim=attrs["axes"], keepdim=attrs.get("keep_dims", True))
    if name == "transpose":
        return lambda: x[0].permute(attrs["permutation"]).contiguous()
    if name == "concat":
        parts = [t for t in x if t is not None]
        return lambda: torch.cat(parts, attrs["axis"])
    if name == "select":
        return lambda: torch.where(x[0], x[1], x[2])
    if name == "norm_modulate":
        return fused(lambda a, *m: modulated(a, attrs["norm"], attrs["epsilon"], *m), *x[:5])
    if name == "gated_residual":
        return fused(lambda a, b, gate: (a.float() + b.float() * gate.float()).to(a.dtype), *x[:3])
    if name == "residual_norm":
        def both(a, b, gate, *m):
            total = a.float() + (b.float() if gate is None else b.float() * gate.float())
            total = total.to(a.dtype)
            return total, modulated(total, attrs["norm"], attrs["epsilon"], *m)
        return fused(both, *x[:7])
    if name == "glu" and x[1] is not None:
        activation = ACTIVATIONS[attrs.get("activation", "silu")]
        return fused(lambda a, b: activation(a) * b, *x[:2])
    if name == "rope":
        return fused(lambda a, c, s: rotate(a, c, s, attrs.get("mode")), *x[:3])
    if name == "norm_rope" and x[3] is not None:
        def whole(a, cos, sin, weight):
            flat = a.flatten(2) if attrs.get("full_width") else a
            y = norm(flat, "rms", attrs["epsilon"]) * weight.float()
            return rotate(y.to(a.dtype).view(a.shape), cos, sin, attrs.get("mode"))
        return fused(whole, *x[:4])
    raise Unsupported(f"no call of PyTorch's for {name} in this form")


# Without --cases: Wan 1.3B at 32,760 tokens and across to its text, DiT-XL/2 at batch 2. Named as ours.
def own_cases(dtypes):
    def case(op, shapes, dtype, name, **attrs):
        inputs = [{"dtype": dtype, "shape": s, "weight": i > 0} for i, s in enumerate(shapes)]
        dims = " ".join("x".join(map(str, s)) for s in shapes)
        return {"name": f"{op} {dims}{name}", "dtype": dtype, "op": {"name": op, "inputs": inputs, "attrs": attrs}}

    for dtype in dtypes:
        for m, n, k in ((8192, 8192, 8192), (32760, 1536, 1536), (512, 3456, 1152)):
            yield case("matmul", [[m, k], [n, k]], dtype, " transpose_b=true", transpose_b=True)
        for b, q, k, h, d in ((1, 32760, 32760, 12, 128), (1, 32760, 512, 12, 128), (2, 256, 256, 16, 72)):
            yield case("scaled_dot_product_attention", [[b, q, h, d], [b, k, h, d], [b, k, h, d]], dtype, "")


def main():
    p = schema.parser(__doc__)
    p.add_argument("--cases", help="a JSON file of ours: its ops are measured")
    p.add_argument("--filter", action="append", default=[], help="only names that contain it")
    p.add_argument("--dtypes", default="", help="only these, such as bf16,f16; left out: those of the cases, or bf16")
    p.add_argument("--attention", default="", help="ways besides PyTorch's own choice: cudnn,flash,efficient,math")
    p.add_argument("--limit", type=float, default=1.0, help="skip what one call takes longer for, in seconds")
    args = p.parse_args()
    warnings.simplefilter("ignore")  # why a way refuses; the error says enough
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    dtypes = args.dtypes.split(",") if args.dtypes else []
    cases = (schema.read_cases(args.cases, "op", args.filter) if args.cases else
             [c for c in own_cases(dtypes or ["bf16"]) if not args.filter or any(f in c["name"] for f in args.filter)])
    report = schema.Report("pytorch", version())
    report.device(args.device, device_name(args.device))

    def measure(row, program, way):
        common = dict(device=args.device, dtype=row["dtype"], program=program, family=row.get("family"),
                      tokens=row.get("tokens"), flops=row.get("flops"), bytes=row.get("bytes"))
        try:
            with torch.inference_mode(), sdpa_kernel(WAYS[way]) if way else contextlib.nullcontext():
                body = make(row["op"], args.device)
                samples, calls = samples_of(body, args.runs, args.device)
            report.row("op", row["name"], samples=samples, calls_a_sample=calls, **common)
        except (Unsupported, KeyError) as e:
            report.row("op", row["name"], skipped=str(e), **common)
        except Exception as e:  # a library's: this row's error
            report.row("op", row["name"], error=e, **common)
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()

    # What a call takes at least, so that nobody waits for a case that is too large: 1 TFLOP/s is slow for a GPU.
    slow = 1e12 if args.device.startswith("cuda") else 2e10
    for row in cases:
        if dtypes and row["dtype"] not in dtypes:
            continue
        if row.get("flops", 0) > slow * args.limit * 20:
            report.row("op", row["name"], device=args.device, dtype=row["dtype"], skipped="too large; see --limit")
            continue
        measure(row, "pytorch", None)
        if row["op"]["name"] == "scaled_dot_product_attention":
            for way in filter(None, args.attention.split(",")):
                measure(row, f"pytorch-{way}", way)
    report.write(args.json)


if __name__ == "__main__":
    main()
