"""Writes fixtures.json: torch.randn's normals, and sampler trajectories in float64 from the papers' formulas.

Needs NumPy and PyTorch. Shares no code or algebra with the C++ samplers: DDPM's mean is written with the noise
(Ho et al. 2020, eq. 11), DDIM's step as eq. 12 of Song et al. 2020, Philox and Box-Muller with Python integers.
"""

import json
import math
import pathlib

import numpy as np
import torch

MASK = 0xFFFFFFFF


def philox_normals(seed, stream, count):
    out = []
    for index in range((count + 3) // 4):
        c = [index & MASK, index >> 32, stream & MASK, stream >> 32]
        k = [seed & MASK, seed >> 32]
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
            k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
        for w0, w1 in ((c[0], c[1]), (c[2], c[3])):
            radius = math.sqrt(-2 * math.log((w0 + 1) / 2**32))
            out += [radius * math.cos(2 * math.pi * w1 / 2**32), radius * math.sin(2 * math.pi * w1 / 2**32)]
    return np.array(out[:count])


def velocity(x, t):
    return np.tanh(x) * math.cos(3 * t) + 0.5 * t - 0.3 * x


def predicted_noise(x, t):
    return 0.7 * np.sin(x) + 1e-4 * t


def schedule(name, steps, shift=1.0, linear_steps=1000):
    if name == "linear":
        return np.linspace(1, 0, steps + 1)
    if name == "shifted":
        sigma = np.linspace(1, 0, steps + 1)
        return sigma / (sigma + (1 - sigma) / shift)
    # Movie Gen, 3.4.2: the first half of the steps as the first of `linear_steps`; a parabola that leaves there with
    # the same slope and ends at one, found by solving for its coefficients.
    half = steps // 2
    a = np.array([[half**2, half, 1], [2 * half, 1, 0], [steps**2, steps, 1]], dtype=np.float64)
    coefficients = np.linalg.solve(a, [half / linear_steps, 1 / linear_steps, 1])
    linear = [i / linear_steps for i in range(half)]
    return 1 - np.array(linear + [np.polyval(coefficients, i) for i in range(half, steps + 1)])


def flow(solver, times, x):
    for t, s in zip(times[:-1], times[1:]):
        h = s - t
        k1 = velocity(x, t)
        if solver == "euler":
            x = x + h * k1
        elif solver == "midpoint":
            x = x + h * velocity(x + h / 2 * k1, t + h / 2)
        else:
            x = x + h / 2 * (k1 + velocity(x + h * k1, s))
    return x


def diffusion(solver, steps, eta, learned, seed, stream, x):
    bar = np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000))
    visited, place = [], 0.0  # improved-diffusion's respacing carries its rounding errors
    for _ in range(steps):
        visited.append(round(place))
        place += 999 / (steps - 1)
    for step, i in enumerate(reversed(range(steps))):
        t = visited[i]
        now, before = bar[t], bar[visited[i - 1]] if i > 0 else 1.0
        beta = 1 - now / before
        eps = predicted_noise(x, t)
        z = philox_normals(seed, stream + step, len(x)) if i > 0 else 0
        if solver == "ddpm":
            small = beta * (1 - before) / (1 - now)
            log_variance = 0
            if i > 0:
                v = (np.tanh(0.5 * x) + 1) / 2 if learned else 0
                log_variance = v * math.log(beta) + (1 - v) * math.log(small)
            mean = (x - beta / math.sqrt(1 - now) * eps) / math.sqrt(1 - beta)
            x = mean + np.exp(log_variance / 2) * z
        else:
            sigma = eta * math.sqrt((1 - before) / (1 - now)) * math.sqrt(1 - now / before)
            start = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
            x = math.sqrt(before) * start + math.sqrt(1 - before - sigma**2) * eps + sigma * z
    return x


def main():
    x = philox_normals(11, 2, 6).astype(np.float32).astype(np.float64)
    flows = []
    for name, options in (("linear", {}), ("shifted", {"shift": 5.0}), ("linear_quadratic", {"linear_steps": 250})):
        for solver in ("euler", "midpoint", "heun"):
            times = schedule(name, 13, **options)
            flows.append({"schedule": name, "solver": solver, "steps": 13, **options, "times": list(times),
                          "x": list(flow(solver, times, x))})
    diffusions = []
    for solver, steps, eta, learned in (("ddpm", 25, 0, True), ("ddpm", 25, 0, False), ("ddim", 20, 0.0, False),
                                        ("ddim", 20, 0.6, False), ("ddim", 7, 1.0, True)):
        diffusions.append({"solver": solver, "steps": steps, "eta": eta, "learned": learned,
                           "x": list(diffusion(solver, steps, eta, learned, 3, 40, x))})
    normals = []
    for seed, sizes in ((0, [1, 4]), (42, [16]), (7, [5, 3, 40, 2, 43]), (2**40 + 9, [15, 1000])):
        generator = torch.Generator().manual_seed(seed)
        values = [torch.randn(n, generator=generator).tolist() for n in sizes]
        normals.append({"seed": seed, "values": values})
    out = {"noise": list(x), "flows": flows, "diffusions": diffusions, "torch_normals": normals}
    path = pathlib.Path(__file__).with_name("fixtures.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
