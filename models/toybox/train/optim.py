"""Muon for hidden matrices, AdamW for the rest, a schedule by time, and an average of the weights."""
from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz towards the nearest semi-orthogonal matrix; g [n, rows, cols]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised by matrix, at AdamW's update size (0.2 sqrt(max(rows, cols)))."""

    def __init__(self, params: list[nn.Parameter], momentum: float = 0.95, weight_decay: float = 0.0):
        self.momentum, self.weight_decay = momentum, weight_decay
        shapes: dict[tuple, list[nn.Parameter]] = {}
        for p in params:
            shapes.setdefault(tuple(p.flatten(1).shape), []).append(p)
        self.groups = list(shapes.items())
        self.buffers = [torch.zeros(len(ps), *shape, device=ps[0].device) for shape, ps in self.groups]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for (shape, params), buffer in zip(self.groups, self.buffers):
            grad = torch.stack([p.grad.flatten(1) for p in params])
            buffer.lerp_(grad, 1 - self.momentum)
            update = orthogonalise(torch.lerp(grad, buffer, self.momentum)).float()
            update *= 0.2 * max(shape) ** 0.5
            torch._foreach_mul_(params, 1 - lr * self.weight_decay)
            torch._foreach_add_(params, [u.view_as(p) for u, p in zip(update.unbind(0), params)],
                                alpha=-lr)


class Optimizer:
    """Muon on `muon` parameters, AdamW on all others of the modules; lr is set each step."""

    def __init__(self, named: list[tuple[str, nn.Parameter]], is_muon, weight_decay: float = 0.01,
                 betas=(0.9, 0.98)):
        named = [(n, p) for n, p in named if p.requires_grad]
        self.params = [p for _, p in named]
        self.muon = Muon([p for n, p in named if is_muon(n, p)], weight_decay=weight_decay)
        rest = [p for n, p in named if not is_muon(n, p)]
        self.adam = torch.optim.AdamW(rest, lr=torch.tensor(1e-3) if rest[0].is_cuda else 1e-3,
                                      betas=betas, weight_decay=0.0, fused=rest[0].is_cuda)

    def step(self, lr: float, clip: float = 1.0) -> Tensor:
        norm = torch.nn.utils.clip_grad_norm_(self.params, clip, foreach=True)
        for group in self.adam.param_groups:
            if torch.is_tensor(group["lr"]):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self.adam.step()
        self.muon.step(lr)
        for p in self.params:
            p.grad = None
        return norm

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "muon": self.muon.buffers}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.muon.buffers, state["muon"]):
            mine.copy_(saved)


def learning_rate(peak: float, step: int, progress: float, warmup: int = 100,
                  hold: float = 0.4) -> float:
    """Linear warm-up by steps, constant until `hold` of the time budget, then linear to 0 at its end."""
    decay = min(1.0, max(0.0, (1.0 - progress) / (1.0 - hold)))
    return peak * min(1.0, (step + 1) / warmup) * decay


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float = 0.999):
        self.decay, self.steps = decay, 0
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.pairs = list(self.module.parameters()), list(module.parameters())

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.pairs[0], [p.detach() for p in self.pairs[1]], 1 - decay)
