"""How PyTorch's calls are timed: as CUDA graphs by events of the device, or on the CPU from outside."""
import time

import torch

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def device_name(device):
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def version():
    text = f"{torch.__version__}"
    if torch.cuda.is_available() and torch.backends.cudnn.is_available():
        text += f", cuDNN {torch.backends.cudnn.version()}"
    return text


def samples_of(body, runs, device, seconds=0.02):
    """(samples, calls a sample): seconds of one call. On the GPU many calls are one CUDA graph where that works, so that
    the host's launches are not timed, and a sample is what events of the device say of it; one replay before each brings
    the clocks up."""
    body()
    if not device.startswith("cuda"):
        begin = time.perf_counter()
        body()
        calls = max(1, min(10000, int(2e-3 / max(time.perf_counter() - begin, 1e-7))))
        samples = []
        for _ in range(runs):
            begin = time.perf_counter()
            for _ in range(calls):
                body()
            samples.append((time.perf_counter() - begin) / calls)
        return samples, calls
    torch.cuda.synchronize()

    def timed(call):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3

    calls = max(1, min(400, int(seconds / max(timed(body), 1e-7))))
    try:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        with torch.cuda.stream(stream):
            body()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(calls):
                body()
        run = graph.replay
    except RuntimeError:
        torch.cuda.synchronize()

        def run():
            for _ in range(calls):
                body()
    run()
    samples = []
    for _ in range(runs):
        run()
        samples.append(timed(run) / calls)
    return samples, calls
