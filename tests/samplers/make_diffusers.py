#!/usr/bin/env python3
"""Writes diffusers.json: what diffusers 0.42.1's DDPM and DDIM schedulers do (pip install torch diffusers).

Tables and coefficients are diffusers' own, in f32; samples are stepped in f64, so that only the coefficients'
rounding is compared and not that of 50 additions.
"""
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

from make_fixtures import philox_normals

SEED, STREAM = 3, 40
PLACES = [0, 1, 2, 3, 7, 10, 17, 31, 100, 333, 499, 500, 777, 998, 999]
SPACINGS = ("leading", "trailing", "linspace")


def respaced(steps, train=1000):
    """improved-diffusion's space_timesteps for one section, as it is written there."""
    stride = 1 if steps <= 1 else (train - 1) / (steps - 1)
    place, taken = 0.0, []
    for _ in range(steps):
        taken.append(round(place))
        place += stride
    return taken[::-1]


def tables():
    cases = [("linear", {}), ("linear", {"rescale_betas_zero_snr": True}),
             ("scaled_linear", {"beta_start": 0.00085, "beta_end": 0.012}), ("squaredcos_cap_v2", {}),
             ("sigmoid", {}), ("laplace", {}), ("linear", {"trained_betas": list(np.linspace(0.001, 0.015, 1000))})]
    out = []
    for name, options in cases:
        alphas = DDPMScheduler(beta_schedule=name, **options).alphas_cumprod.double()
        out.append({"betas": name, **options, "alphas": alphas[PLACES].tolist(), "sum": alphas.sum().item()})
    return out


def checksum(timesteps):
    return int(sum((i + 1) * int(t) for i, t in enumerate(timesteps)))


def all_timesteps():
    """Sums over blocks of 25 step counts; counts for which NumPy's arange gives a value too many lose it."""
    out = {}
    for spacing in (*SPACINGS, "respaced"):
        sums = []
        for steps in range(1, 1001):
            if spacing == "respaced":
                timesteps = respaced(steps)
            else:
                scheduler = DDIMScheduler(timestep_spacing=spacing)
                scheduler.set_timesteps(steps)
                timesteps = scheduler.timesteps.tolist()[:steps]
            sums.append(checksum(timesteps))
        out[spacing] = [sum(sums[i:i + 25]) for i in range(0, 1000, 25)]
    return out


def model(x, t, prediction):
    """Like a real one it takes nearly all of x for noise at late timesteps: else x, and every rounding error, grows."""
    noise = (0.15 + 8e-4 * t) * x + 0.1 * torch.sin(3 * x)
    return {"epsilon": noise, "sample": 0.5 * torch.tanh(x) + 1e-4 * t, "v_prediction": noise - 0.3 * x}[prediction]


def trajectory(solver, steps, x, eta=0.0, **options):
    scheduler = (DDPMScheduler if solver == "ddpm" else DDIMScheduler)(**options)
    scheduler.set_timesteps(steps)
    learned = options.get("variance_type", "").startswith("learned")
    prediction = options.get("prediction_type", "epsilon")
    x = x.clone()[None, :, None]  # [1, C, 1]: learned variances are more channels
    for i, t in enumerate(scheduler.timesteps):
        noise = torch.tensor(philox_normals(SEED, STREAM + i, x.numel()).astype(np.float32)).double().reshape(x.shape)
        output = model(x, t.item(), prediction)
        if learned:
            raw = torch.tanh(0.5 * x)
            output = torch.cat([output, raw if options["variance_type"] == "learned_range" else raw**2 / 10], 1)
        if solver == "ddpm":
            scheduling_ddpm.randn_tensor = lambda *_, **__: noise
            x = scheduler.step(output, t, x).prev_sample
        else:
            x = scheduler.step(output, t, x, eta=eta, variance_noise=noise if eta > 0 else None).prev_sample
    return {"solver": solver, "steps": steps, "eta": eta, "options": options, "x": x.flatten().tolist()}


def trajectories(x):
    free = {"clip_sample": False}
    out = []
    for spacing in SPACINGS:
        for steps in (7, 50):
            out.append(trajectory("ddim", steps, x, timestep_spacing=spacing, **free))
            out.append(trajectory("ddpm", steps, x, timestep_spacing=spacing, **free))
        out.append(trajectory("ddpm", 50, x, timestep_spacing=spacing, variance_type="learned_range", **free))
        out.append(trajectory("ddim", 20, x, eta=0.6, timestep_spacing=spacing, **free))
    out.append(trajectory("ddim", 30, x))  # clip_sample, as the class has it
    out.append(trajectory("ddpm", 250, x, **free))
    out.append(trajectory("ddim", 50, x, steps_offset=1, set_alpha_to_one=False, beta_schedule="scaled_linear",
                          beta_start=0.00085, beta_end=0.012, **free))
    out.append(trajectory("ddpm", 20, x, steps_offset=1, variance_type="learned_range", **free))
    out.append(trajectory("ddpm", 25, x, variance_type="fixed_large", clip_sample_range=1.5))
    out.append(trajectory("ddpm", 25, x, variance_type="fixed_small_log", **free))
    out.append(trajectory("ddpm", 25, x, variance_type="learned", **free))
    for prediction in ("sample", "v_prediction"):
        for solver in ("ddim", "ddpm"):
            out.append(trajectory(solver, 13, x, prediction_type=prediction, timestep_spacing="trailing",
                                  rescale_betas_zero_snr=prediction == "v_prediction",
                                  beta_schedule="squaredcos_cap_v2", **free))
    return out


def noised(x):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(50)
    noise = torch.tensor(philox_normals(SEED, STREAM, x.numel()).astype(np.float32)).double()
    return [{"steps": 50, "index": i, "x": scheduler.add_noise(x, noise, scheduler.timesteps[i:i + 1]).tolist()}
            for i in (0, 20, 49)]


def main():
    x = torch.tensor(philox_normals(11, 2, 6).astype(np.float32)).double()
    out = {"tables": tables(), "places": PLACES, "timesteps": all_timesteps(), "trajectories": trajectories(x),
           "noised": noised(x)}
    Path(__file__).with_name("diffusers.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
