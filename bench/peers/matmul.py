#!/usr/bin/env python3
"""PyTorch's matrix products at the shapes of our models, for the same GPU in the same hour.

    python3 bench/peers/matmul.py [--runs 10] [--only bf16,fp8]

bf16, f16 and f32 through torch.nn.functional.linear (f32 without TF32), with bias and GELU where named; fp8 e4m3 through
torch._scaled_mm with a scale for each row of both operands, int8 through torch._int_mm, alone and with its scales applied.
Prints the median of --runs calls, timed by events of the device, on random data.
"""
import argparse
import statistics

import torch
import torch.nn.functional as F

# m, n, k, epilogue: Wan 1.3B at 32,760 tokens, DiT-XL/2 at batch 2, Movie Gen 30B at 73,728 tokens.
SHAPES = [
    (8192, 8192, 8192, ""),
    (32760, 8960, 1536, ""),
    (32760, 8960, 1536, "gelu_tanh+bias"),
    (32760, 8960, 1536, "silu+bias"),
    (32760, 1536, 8960, "bias"),
    (32760, 1536, 1536, "bias"),
    (512, 3456, 1152, "bias"),
    (512, 4608, 1152, "gelu_tanh+bias"),
    (512, 1152, 4608, "bias"),
    (73728, 16384, 6144, ""),
    (1, 9216, 1536, ""),
    (2, 6912, 1152, ""),
]


def median_seconds(body, runs, repeats):
    """`repeats` calls captured as one CUDA graph where that works, so that the host's launches are not timed."""
    body()
    torch.cuda.synchronize()
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                body()
        replay = graph.replay
    except RuntimeError:
        repeats, replay = 1, body
    replay()
    times = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / repeats)
    return statistics.median(times)


def linear(dtype, m, n, k, epilogue):
    x, w = torch.randn(m, k, device="cuda").to(dtype), torch.randn(n, k, device="cuda").to(dtype)
    bias = torch.randn(n, device="cuda").to(dtype) if "bias" in epilogue else None
    if "gelu" in epilogue:  # one fused kernel
        return lambda: torch._addmm_activation(bias, x, w.t(), use_gelu=True)
    if "silu" in epilogue:
        return lambda: F.silu(F.linear(x, w, bias))
    return lambda: F.linear(x, w, bias)


def fp8(m, n, k, fast):
    x = torch.randn(m, k, device="cuda").to(torch.float8_e4m3fn)
    w = torch.randn(n, k, device="cuda").to(torch.float8_e4m3fn)
    sx, sw = torch.rand(m, 1, device="cuda"), torch.rand(1, n, device="cuda")
    return lambda: torch._scaled_mm(x, w.t(), scale_a=sx, scale_b=sw, out_dtype=torch.bfloat16, use_fast_accum=fast)


def int8(m, n, k, scaled):
    x = torch.randint(-127, 128, (m, k), device="cuda", dtype=torch.int8)
    w = torch.randint(-127, 128, (n, k), device="cuda", dtype=torch.int8)
    sx, sw = torch.rand(m, 1, device="cuda"), torch.rand(1, n, device="cuda")
    if not scaled:
        return lambda: torch._int_mm(x, w.t())
    return lambda: (torch._int_mm(x, w.t()) * sx * sw).to(torch.bfloat16)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="bf16,f16,f32,fp8,int8")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    only = args.only.split(",")

    def report(name, m, n, k, body):
        try:
            with torch.no_grad():
                seconds = median_seconds(body(), args.runs, 20 if m * n * k < 1e10 else 1)
            print(f"{name} {m}x{n}x{k} {seconds * 1e3:.4f} ms {2e-12 * m * n * k / seconds:.1f} TFLOP/s", flush=True)
        except RuntimeError as e:
            print(f"{name} {m}x{n}x{k}: {str(e).splitlines()[0][:100]}", flush=True)
        torch.cuda.empty_cache()

    for m, n, k, epilogue in SHAPES:
        for dtype in ("bf16", "f16", "f32"):
            small = m in (8192, 512, 1, 2)
            if dtype in only and (dtype == "bf16" or small):
                torch_dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[dtype]
                report(f"{dtype} {epilogue}".strip(), m, n, k, lambda: linear(torch_dtype, m, n, k, epilogue))
    for m, n, k in ((8192, 8192, 8192), (32760, 8960, 1536), (32760, 1536, 8960), (73728, 16384, 6144)):
        if "fp8" in only:
            report("fp8 rows", m, n, k, lambda: fp8(m, n, k, False))
            report("fp8 rows, fast sums", m, n, k, lambda: fp8(m, n, k, True))
        if "int8" in only:
            report("int8", m, n, k, lambda: int8(m, n, k, False))
            report("int8 scaled to bf16", m, n, k, lambda: int8(m, n, k, True))


if __name__ == "__main__":
    main()
