#!/usr/bin/env python3
"""PyTorch's convolutions (cuDNN) at the shapes of video autoencoders, for the same GPU in the same hour.

    python3 bench/peers/conv.py [--runs 10] [--only 3d] [--dtype bf16]

Channels last, with bias; cudnn.benchmark chooses the algorithm. Prints the median of --runs calls, timed by events of the
device, on random data.
"""
import argparse
import statistics

import torch
import torch.nn.functional as F

# Name, x [batch, channels, space...], filters, kernel, stride, padding.
SHAPES = [
    ("3d 96", (1, 96, 4, 480, 832), 96, (3, 3, 3), 1, 1),
    ("3d 192", (1, 192, 4, 240, 416), 192, (3, 3, 3), 1, 1),
    ("3d 384", (1, 384, 4, 120, 208), 384, (3, 3, 3), 1, 1),
    ("3d 192 long", (1, 192, 16, 240, 416), 192, (3, 3, 3), 1, 1),
    ("3d 192 time", (1, 192, 16, 240, 416), 192, (3, 1, 1), 1, (1, 0, 0)),
    ("2d 128", (4, 128, 512, 512), 128, (3, 3), 1, 1),
    ("2d 256", (4, 256, 256, 256), 256, (3, 3), 1, 1),
    ("2d 512", (4, 512, 128, 128), 512, (3, 3), 1, 1),
    ("2d 192 half", (4, 192, 240, 416), 192, (3, 3), 2, 1),
    ("1d 256", (4, 256, 65536), 256, (7,), 1, 3),
]
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LAYOUT = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}
DTYPE = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def seconds(body, runs, repeats=4):
    for _ in range(3):
        body()
    times = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(repeats):
            body()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / repeats)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help="shapes whose name begins so")
    parser.add_argument("--dtype", default="bf16", choices=DTYPE)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    dtype = DTYPE[options.dtype]
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    for name, shape, filters, kernel, stride, padding in SHAPES:
        if not name.startswith(options.only):
            continue
        space = len(kernel)
        layout = LAYOUT[space]
        x = torch.randn(shape, device="cuda").to(dtype).to(memory_format=layout)
        weight = torch.randn((filters, shape[1], *kernel), device="cuda").to(dtype).to(memory_format=layout)
        bias = torch.randn(filters, device="cuda").to(dtype)
        with torch.no_grad():
            y = CONV[space](x, weight, bias, stride=stride, padding=padding)
            flops = 2.0 * y.numel() * weight[0].numel()
            median = seconds(lambda: CONV[space](x, weight, bias, stride=stride, padding=padding), options.runs)
        print(f"{name:14} {options.dtype} {median * 1e3:8.3f} ms {flops / median * 1e-12:7.1f} TFLOP/s", flush=True)


if __name__ == "__main__":
    main()
