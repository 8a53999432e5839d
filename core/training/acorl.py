"""Training of members, of an alliance model against frozen members, and of the fusion of all (ACoRL).

With ``eta`` 0 the alliance is trained as any member is, from the same random numbers, so ACoRL is then plain multi-model
fusion of the same number of models. Data are tensors: planes (N, R, T) and labels (N,), 1 for bona fide; where they come
from is for ``core.training.acorl_runs``.

Reference: arXiv 2404.15704; see ``models.acorl`` for what is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from core.training.loop import Average
from models.acorl import Adversary, Alliance, AllianceConfig, LateFusion, reversal_strength, reverse_gradient


@dataclass(frozen=True)
class AcorlOptions:
    """How to train. eta : weight of the adversarial loss, 0 for a plain member; adversary_steps : updates of the
    adversary for each of the alliance; crop : frames of a row that a step sees, all of them for 0."""

    steps: int = 150
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.05
    eta: float = 1.0
    adversary_steps: int = 3
    crop: int = 200
    average: float = 0.99  # decay of the moving average of the weights
    seed: int = 0


def train_alliance(x: torch.Tensor, y: torch.Tensor, config: AllianceConfig, known: Sequence[torch.Tensor] = (),
                   options: AcorlOptions | None = None, weights: torch.Tensor | None = None) -> Alliance:
    """Train an alliance model on planes x (N, R, T) and labels y (N,); a plain one without ``known`` or with eta 0.

    known : what frozen members represent of the same rows, [(N, d_k)]; weights : (N,) how often a row is drawn.
    """
    options = options or AcorlOptions()
    known = list(known) if options.eta > 0 else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = Alliance(config)
        model.standardise(x[next(_batches(len(x), replace(options, batch=300), weights))])
        opponent = _Opponent(config.dim, [beyond_label(v, y) for v in known], options) if known else None
        optimiser = torch.optim.AdamW(model.parameters(), options.rate, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, total_steps=options.steps + 1,
                                                       pct_start=0.15)
        average = Average(model.train(), options.average)
        places = torch.Generator().manual_seed(options.seed)
        for step, rows in enumerate(_batches(len(x), options, weights)):
            with torch.autocast("cpu", torch.bfloat16):
                z = model.represent(_crop(x[rows], options.crop, places))
            loss = F.binary_cross_entropy_with_logits(model.classify(z), y[rows])
            if opponent is not None:
                loss = loss + options.eta * opponent.against(z, rows, reversal_strength(step / options.steps))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update(model)
        average.apply(model)
    return model.eval().requires_grad_(False)


def _crop(x: torch.Tensor, frames: int, places: torch.Generator) -> torch.Tensor:
    """``frames`` frames of every row, from one place: (B, R, T) -> (B, R, frames)."""
    if not 0 < frames < x.shape[2]:
        return x
    first = int(torch.randint(0, x.shape[2] - frames + 1, (), generator=places))
    return x[:, :, first : first + frames]


class _Opponent:
    """The adversary with its own optimiser and random numbers: the alliance's stay those of a plain training."""

    def __init__(self, dim: int, known: list[torch.Tensor], options: AcorlOptions) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed + 1)
            self.network = Adversary(dim, [v.shape[1] for v in known])
        self.known = known
        self.steps = options.adversary_steps
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 2 * options.rate)

    def against(self, z: torch.Tensor, rows: torch.Tensor, strength: float) -> torch.Tensor:
        """Train the adversary on this batch, then its loss with the gradient to z reversed."""
        known = [v[rows] for v in self.known]
        for _ in range(self.steps):
            self.optimiser.zero_grad()
            self.network(z.detach(), known).backward()
            self.optimiser.step()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        loss = self.network(reverse_gradient(z, strength), known)
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        return loss


def beyond_label(known: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """What a member's representation (N, d_k) says beyond the label (N,): its distance from the mean of its class.

    Both models must know the label, so hiding that from the adversary would be at war with the task.
    """
    out = known.clone()
    for label in y.unique():
        rows = y == label
        out[rows] -= known[rows].mean(0)
    return out


def train_fusion(parts: Sequence[torch.Tensor], y: torch.Tensor, options: AcorlOptions | None = None,
                 weights: torch.Tensor | None = None) -> LateFusion:
    """Train the linear fusion of representations [(N, d_k)]."""
    options = options or AcorlOptions()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        fusion = LateFusion([p.shape[1] for p in parts])
        optimiser = torch.optim.AdamW(fusion.parameters(), options.rate, weight_decay=options.weight_decay)
        for rows in _batches(len(y), options, weights):
            loss = F.binary_cross_entropy_with_logits(fusion([p[rows] for p in parts]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return fusion.eval().requires_grad_(False)


def _batches(n: int, options: AcorlOptions, weights: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """Indices of every step's batch, drawn by weight, from the seed alone."""
    generator = torch.Generator().manual_seed(options.seed)
    share = torch.ones(n) if weights is None else weights
    for _ in range(options.steps):
        yield torch.multinomial(share, options.batch, replacement=True, generator=generator)


@torch.no_grad()
def represent_all(network: Alliance, x: torch.Tensor, batch: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Representations (N, d) and logits (N,) of planes (N, R, T)."""
    z = torch.cat([network.represent(x[i : i + batch]) for i in range(0, len(x), batch)])
    return z, network.classify(z)
