#!/usr/bin/env python3
"""PyTorch's attention at the shapes of our models, for the same GPU in the same hour.

    python3 bench/peers/attention.py [--runs 10] [--dtype bf16] [--backends cudnn,flash]

torch.nn.functional.scaled_dot_product_attention through cuDNN, FlashAttention-2 and PyTorch's own kernels ("efficient",
"math"), on random data that lies as ours does, [batch, tokens, heads, dim]. Prints the median of --runs calls, timed by
events of the device; a backend that refuses a shape says so.
"""
import argparse
import statistics
import warnings

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

# batch, queries, keys, heads, dim: Wan 1.3B alone and across to its text, Movie Gen's heads, DiT-XL/2 at batch 2, the
# decoder of Wan, Toybox.
SHAPES = [
    (1, 32760, 32760, 12, 128),
    (1, 14040, 14040, 12, 128),
    (1, 32760, 512, 12, 128),
    (1, 16384, 16384, 16, 64),
    (1, 4096, 4096, 4, 64),
    (1, 1080, 1080, 4, 64),
    (1, 512, 512, 12, 128),
    (2, 256, 256, 16, 72),
    (4, 6240, 6240, 1, 384),
]
BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def median_seconds(body, runs, repeats):
    """`repeats` calls captured as one CUDA graph, so that the host's launches are not timed."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        body()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(repeats):
            body()
    graph.replay()
    times = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / repeats)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--dtype", default="bf16", choices=DTYPES)
    parser.add_argument("--backends", default="cudnn,flash")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # why a backend refuses; the error says enough
    for batch, queries, keys, heads, dim in SHAPES:
        flops = 4.0 * batch * heads * queries * keys * dim
        q, k, v = (
            torch.rand(batch, n, heads, dim, device="cuda").mul_(2).sub_(1).to(DTYPES[args.dtype]).transpose(1, 2)
            for n in (queries, keys, keys)
        )
        name = f"{args.dtype} {batch}x{queries}:{keys}x{heads}x{dim}"
        for backend in args.backends.split(","):
            try:
                with torch.no_grad(), sdpa_kernel(BACKENDS[backend]):
                    body = lambda: F.scaled_dot_product_attention(q, k, v)  # noqa: B023
                    seconds = median_seconds(body, args.runs, 20 if flops < 1e11 else 1)
                print(f"{name} {backend} {seconds * 1e3:.4f} ms {flops / seconds * 1e-12:.1f} TFLOP/s", flush=True)
            except RuntimeError as e:
                print(f"{name} {backend}: {str(e).splitlines()[0][:100]}", flush=True)
        del q, k, v


if __name__ == "__main__":
    main()
