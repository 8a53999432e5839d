"""One step of an optimiser and the state to go on from, for trainings that may be interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def descend(loss: torch.Tensor, parameters: Sequence[torch.nn.Parameter], optimiser: torch.optim.Optimizer,
            schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """One step down the gradient, its norm at most 1."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    schedule.step()


def save(path: Path, step: int, **parts: Any) -> None:
    """Keep the state of networks, optimiser and schedule, whole or not at all."""
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
