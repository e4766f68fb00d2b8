#!/usr/bin/env python3
"""Writes unipc.json: what diffusers 0.42.1's flow schedulers do (pip install torch diffusers).

Sigmas and times are diffusers' own, in f32; its UniPC then steps in f64, so that its code is compared and not the
rounding of its logarithms. "x32" is what it makes in f32.
"""
import json
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from make_fixtures import philox_normals


def velocity(x, time):
    return 0.8 * x + 0.3 * torch.sin(2 * x + 5 * time)


def run(scheduler, steps, x, dtype, first=0):
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(first)
    scheduler.sigmas = scheduler.sigmas.to(dtype)
    x = x.to(dtype).reshape(1, 1, -1)
    trace = []
    for t in scheduler.timesteps[first:]:
        x = scheduler.step(velocity(x, t.to(dtype) / 1000), t, x).prev_sample
        trace.append(x.flatten().tolist())
    return trace


def main():
    x = torch.from_numpy(philox_normals(11, 2, 6).astype(np.float32))
    out = {"unipc": [], "euler": [], "noise": x.tolist()}
    for solver in ("bh2", "bh1"):
        for order in (1, 2, 3):
            for steps in (1, 2, 3, 4, 7, 20, 50):
                shift = (1.0, 3.0, 5.0, 12.0)[(steps + order) % 4]
                first = steps // 3 if steps in (7, 20) and order == 2 else 0
                scheduler = UniPCMultistepScheduler(
                    solver_order=order, solver_type=solver, prediction_type="flow_prediction", use_flow_sigmas=True,
                    flow_shift=shift)
                trace = run(scheduler, steps, x, torch.float64, first)
                # bh1 multiplies infinity by nothing in its last step; the others are as good as bh2's.
                assert math.isnan(trace[-1][0]) == (solver == "bh1")
                case = {"solver": solver, "order": order, "steps": steps, "shift": shift, "first": first,
                        "sigmas": scheduler.sigmas.tolist(), "times": scheduler.timesteps.tolist(),
                        "x": [v for v in trace if not math.isnan(v[0])][-3:]}
                if solver == "bh2":
                    case["x32"] = run(scheduler, steps, x, torch.float32, first)[-1]
                out["unipc"].append(case)
    for steps in (2, 3, 10, 50):
        for shift in (1.0, 3.0, 5.0):
            scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
            scheduler.set_timesteps(steps)
            out["euler"].append({"steps": steps, "shift": shift, "last": scheduler.sigma_min,
                                 "sigmas": scheduler.sigmas.tolist(), "times": scheduler.timesteps.tolist()})
    path = Path(__file__).with_name("unipc.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(path.stat().st_size)


if __name__ == "__main__":
    main()
