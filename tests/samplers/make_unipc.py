#!/usr/bin/env python3
"""Writes unipc.json: what diffusers 0.42.1's flow schedulers do (pip install torch diffusers).

Sigmas and times are diffusers' own, in f32; multistep solvers then step in f64, so that its code is compared and not
the rounding of its logarithms. "x32" is what it makes in f32. "fields" are those of the sampler that does the same.
"""
import json
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from diffusers.schedulers import scheduling_flow_match_euler_discrete as flow_match

from make_fixtures import philox_normals

ALL = list(range(1, 51))


def velocity(x, time):
    return 0.8 * x + 0.3 * torch.sin(2 * x + 5 * time)


def run(scheduler, x, dtype, first=0, **timesteps):
    scheduler.set_timesteps(**timesteps)
    scheduler.set_begin_index(first)
    scheduler.sigmas = scheduler.sigmas.to(dtype)
    x = x.to(dtype).reshape(1, 1, -1)
    trace = []
    for t in scheduler.timesteps[first:]:
        x = scheduler.step(velocity(x, t.to(dtype) / 1000), t, x).prev_sample
        trace.append(x.flatten().tolist())
    return trace


def case(fields, scheduler, steps, trace, first=0, kept=1, **more):
    good = [v for v in trace if not math.isnan(v[0])]
    return {"fields": fields, "steps": steps, "first": first, "sigmas": scheduler.sigmas.tolist(),
            "times": scheduler.timesteps.tolist(), "x": good[-kept:], **more}


def unipc(x):
    for solver in ("bh2", "bh1"):
        for order in (1, 2, 3):
            for steps in ALL if (solver, order) == ("bh2", 2) else (1, 2, 3, 4, 7, 20, 50):
                shift = (1.0, 3.0, 5.0, 12.0)[(steps + order) % 4]
                first = steps // 3 if steps in (7, 20) and order == 2 else 0
                scheduler = UniPCMultistepScheduler(
                    solver_order=order, solver_type=solver, prediction_type="flow_prediction", use_flow_sigmas=True,
                    flow_shift=shift)
                trace = run(scheduler, x, torch.float64, first, num_inference_steps=steps)
                # bh1 multiplies infinity by nothing in its last step; the others are as good as bh2's.
                assert math.isnan(trace[-1][0]) == (solver == "bh1")
                fields = {"solver": "unipc", "order": order, "unipc_b": solver, "shift": shift, "last": 0.001,
                          "train_steps": 1000}
                more = {}
                if solver == "bh2":
                    more["x32"] = run(scheduler, x, torch.float32, first, num_inference_steps=steps)[-1]
                yield case(fields, scheduler, steps, trace, first, kept=3, **more)


def dpmpp_2m(x):
    for steps in ALL:
        # Without a shift the times are whole training steps but for their last bit, and telling them hangs on it.
        shift = (2.0, 3.0, 5.0, 12.0)[steps % 4]
        scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                                flow_shift=shift)
        first = steps // 4 if steps in (9, 30) else 0
        trace = run(scheduler, x, torch.float64, first, num_inference_steps=steps)
        fields = {"solver": "dpmpp_2m", "shift": shift, "first": 0.999, "last": 0.0, "train_steps": 1000}
        yield case(fields, scheduler, steps, trace, first, kept=3)


def euler(x):
    for steps in ALL[1:]:
        shift = (1.0, 3.0, 5.0)[steps % 3]
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        trace = run(scheduler, x, torch.float32, num_inference_steps=steps)
        fields = {"solver": "euler", "shift": shift, "last": scheduler.sigma_min, "reaches_last": True}
        yield case(fields, scheduler, steps, trace)
    # Few steps of distilled models: listed times, shifted.
    for times in ([1.0, 0.75, 0.5, 0.25], [1 - i / 8 for i in range(8)]):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
        trace = run(scheduler, x, torch.float32, sigmas=times)
        fields = {"solver": "euler", "schedule": "explicit", "times": times + [0.0], "shift": 5.0}
        yield case(fields, scheduler, len(times), trace)


def dmd(x):
    """Steps of distribution matching are diffusers' "stochastic sampling"; its noise becomes known here."""
    for times, shift in (([1.0, 0.757, 0.522], 1.0), ([1.0, 0.75, 0.5, 0.25], 5.0), ([1.0], 8.0)):
        drawn = iter(range(len(times)))

        def noise(shape, **_):
            return torch.from_numpy(philox_normals(5, 70 + next(drawn), 6).astype(np.float32)).reshape(shape)

        flow_match.randn_tensor, kept = noise, flow_match.randn_tensor
        try:
            scheduler = FlowMatchEulerDiscreteScheduler(shift=shift, stochastic_sampling=True)
            trace = run(scheduler, x, torch.float32, sigmas=times)
        finally:
            flow_match.randn_tensor = kept
        fields = {"solver": "dmd", "schedule": "explicit", "times": times + [0.0], "shift": shift}
        yield case(fields, scheduler, len(times), trace, kept=4)


def main():
    x = torch.from_numpy(philox_normals(11, 2, 6).astype(np.float32))
    out = {"noise": x.tolist(), "cases": [c for make in (unipc, dpmpp_2m, euler, dmd) for c in make(x)]}
    path = Path(__file__).with_name("unipc.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(path.stat().st_size)


if __name__ == "__main__":
    main()
