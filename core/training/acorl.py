"""Training of members, of an alliance model against frozen members, and of the fusion of all (ACoRL).

With ``eta`` 0 the alliance is trained as any member is, from the same random numbers, so ACoRL is then plain multi-model
fusion of the same number of models. Data are tensors: planes (N, R, T) and labels (N,), 1 for bona fide; where they come
from is not for here.

Reference: arXiv 2404.15704; see ``models.acorl`` for what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from models.acorl import Adversary, Alliance, AllianceConfig, LateFusion, reversal_strength, reverse_gradient

Represent = Callable[[torch.Tensor], torch.Tensor]  # (B, R, T) -> (B, d_k), frozen


@dataclass(frozen=True)
class AcorlOptions:
    """How to train. eta : weight of the adversarial loss, 0 for a plain member; adversary_steps : updates of the
    adversary for each of the alliance."""

    epochs: int = 12
    batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 1e-4
    eta: float = 0.5
    adversary_steps: int = 2
    seed: int = 0


def train_alliance(x: torch.Tensor, y: torch.Tensor, config: AllianceConfig, members: Sequence[Represent] = (),
                   options: AcorlOptions | None = None) -> Alliance:
    """Train an alliance model on planes x (N, R, T) and labels y (N,) against frozen members; a plain one without."""
    options = options or AcorlOptions()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = Alliance(config).train()
        known = [_all(member, x) for member in members] if options.eta > 0 else []
        optimiser = torch.optim.AdamW(model.parameters(), options.rate, weight_decay=options.weight_decay)
        opponent = _Opponent(config.dim, [beyond_label(v, y) for v in known], options) if known else None
        steps = options.epochs * -(-len(x) // options.batch)
        for step, rows in enumerate(_batches(len(x), options)):
            z = model.represent(x[rows])
            loss = F.binary_cross_entropy_with_logits(model.classify(z), y[rows])
            if opponent is not None:
                loss = loss + options.eta * opponent.against(z, rows, reversal_strength(step / steps))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


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


def train_fusion(parts: Sequence[torch.Tensor], y: torch.Tensor, options: AcorlOptions | None = None) -> LateFusion:
    """Train the linear fusion of representations [(N, d_k)]."""
    options = options or AcorlOptions()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        fusion = LateFusion([p.shape[1] for p in parts])
        optimiser = torch.optim.AdamW(fusion.parameters(), options.rate, weight_decay=options.weight_decay)
        for rows in _batches(len(y), options):
            loss = F.binary_cross_entropy_with_logits(fusion([p[rows] for p in parts]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return fusion.eval()


def _batches(n: int, options: AcorlOptions) -> Iterator[torch.Tensor]:
    """Shuffled indices of every batch of every epoch, from the seed alone."""
    generator = torch.Generator().manual_seed(options.seed)
    for _ in range(options.epochs):
        order = torch.randperm(n, generator=generator)
        for first in range(0, n, options.batch):
            yield order[first : first + options.batch]


@torch.no_grad()
def _all(represent: Represent, x: torch.Tensor, batch: int = 64) -> torch.Tensor:
    """A frozen member's representations of all planes, (N, d_k)."""
    return torch.cat([represent(x[i : i + batch]) for i in range(0, len(x), batch)])
