"""One step of an optimiser and the state to go on from, for trainings that may be interrupted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def one_cycle(step: int, cycles: Sequence[int]) -> float:
    """Share of the highest rate at a step from 1 on: in each cycle up from a 25th in its first tenth, then down to 0."""
    start = 0
    for length in cycles:
        if step <= start + length:
            break
        start += length
    at, warm = (step - start) / length, 0.1
    if at < warm:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * at / warm))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (at - warm) / (1 - warm))))


def descend(loss: torch.Tensor, optimiser: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """One step down the gradient, its norm at most 1, at one rate per group of parameters."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    optimiser.step()


def save(path: Path, step: int, **parts: Any) -> None:
    """Keep the state of a network and its optimiser, whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, partial)
    partial.replace(path)


def resume(path: Path, **parts: Any) -> int:
    """Load what :func:`save` kept into the parts; the step after which it was kept, 0 where there is nothing."""
    if not path.is_file():
        return 0
    kept = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return int(kept["step"])
