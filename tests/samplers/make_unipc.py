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
        shift = (1.0, 3.0, 5.0, 12.0)[steps % 4]
        scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                                flow_shift=shift)
        first = steps // 4 if steps in (9, 30) else 0
        trace = run(scheduler, x, torch.float64, first, num_inference_steps=steps)
        fields = {"solver": "dpmpp_2m", "shift": shift, "first": 0.999, "last": 0.0, "train_steps": 1000}
        yield case(fields, scheduler, steps, trace, first, kept=3)


def euler(x):
    for steps in ALL:
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


def dynamic(x):
    """Shifts that follow the number of tokens, and times that are stretched to end above 0."""
    line = dict(base_shift=0.6, max_shift=1.3, base_image_seq_len=100, max_image_seq_len=900)
    for steps in ALL:
        tokens = (70, 100, 333, 1500)[steps % 4]
        slope = (line["max_shift"] - line["base_shift"]) / 800
        mu = tokens * slope + line["base_shift"] - slope * 100  # calculate_shift() of the pipelines
        kind = ("exponential", "linear")[steps // 2 % 2]
        terminal = 0.1 if steps % 3 == 0 and steps > 1 else None
        config = dict(use_dynamic_shifting=True, shift_terminal=terminal)
        ours = {"shift_by": kind, "base_shift": 0.6, "max_shift": 1.3, "base_tokens": 100, "max_tokens": 900,
                "latents_a_token": 4, "latents": 4 * tokens, "terminal": terminal or 0}
        scheduler = FlowMatchEulerDiscreteScheduler(time_shift_type=kind, **config, **line)
        trace = run(scheduler, x, torch.float32, num_inference_steps=steps, mu=mu)
        yield case(ours | {"solver": "euler", "last": 0.001, "reaches_last": True}, scheduler, steps, trace)
        flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, use_dynamic_shifting=True)
        ours["shift_by"] = "exponential"
        scheduler = UniPCMultistepScheduler(shift_terminal=terminal, **flow)
        trace = run(scheduler, x, torch.float64, num_inference_steps=steps, mu=mu)
        yield case(ours | {"solver": "unipc", "last": 0.001, "train_steps": 1000}, scheduler, steps, trace)
        scheduler = DPMSolverMultistepScheduler(**flow)
        trace = run(scheduler, x, torch.float64, num_inference_steps=steps, mu=mu)
        yield case(ours | {"solver": "dpmpp_2m", "first": 0.999, "last": 0.0, "train_steps": 1000, "terminal": 0},
                   scheduler, steps, trace)


def grid():
    """For every number of steps and many shifts: sums of what the network is told, weighted by place, and of sigmas."""
    for solver in ("unipc", "dpmpp_2m", "euler"):
        for shift in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 8.0, 12.0, 16.0):
            fields = {"solver": solver, "shift": shift}
            if solver == "euler":
                scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
                fields |= {"last": scheduler.sigma_min, "reaches_last": True}
            else:
                kind = UniPCMultistepScheduler if solver == "unipc" else DPMSolverMultistepScheduler
                scheduler = kind(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
                fields |= {"last": 0.001} if solver == "unipc" else {"first": 0.999, "last": 0.0}
                fields["train_steps"] = 1000
            told, sigmas = [], []
            for steps in ALL:
                scheduler.set_timesteps(steps)
                told.append(sum((i + 1) * t for i, t in enumerate(scheduler.timesteps.double().tolist())))
                sigmas.append(scheduler.sigmas.double().sum().item())
            yield {"fields": fields, "told": told, "sigmas": sigmas}


def orders(x):
    """The end of every multistep solver's run, for every number of steps."""
    for solver in ("bh2", "bh1"):
        for order in (1, 2, 3):
            ends = []
            for steps in ALL:
                scheduler = UniPCMultistepScheduler(solver_order=order, solver_type=solver, use_flow_sigmas=True,
                                                    prediction_type="flow_prediction", flow_shift=3.0)
                trace = run(scheduler, x, torch.float64, num_inference_steps=steps)
                good = [v for v in trace if not math.isnan(v[0])]
                ends.append(good[-1] if good else [])
            yield {"fields": {"solver": "unipc", "order": order, "unipc_b": solver, "shift": 3.0, "last": 0.001,
                              "train_steps": 1000}, "ends": ends}


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
    out = {"noise": x.tolist(), "cases": [c for make in (unipc, dpmpp_2m, euler, dynamic, dmd) for c in make(x)],
           "grid": list(grid()), "orders": list(orders(x))}
    path = Path(__file__).with_name("unipc.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(path.stat().st_size)


if __name__ == "__main__":
    main()
