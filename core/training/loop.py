"""One training run: frozen encoder, adapters and heads, balanced batches, averaged weights, checkpoints, a CSV log.

The same code trains the shipped model, the folds of an evaluation and the ablations; they differ in
:class:`Recipe` only.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from core.training.corpus import Clip
from core.training.data import Sampler, SamplerOptions
from core.training.losses import LossWeights, finfoed_loss
from models.encoder import FrameEncoder
from models.finfoed import FInfoED, FInfoEDConfig


@dataclass(frozen=True)
class Recipe:
    """A training run, complete but for the data."""

    adapter_rank: int = 32
    latent: int = 32
    hidden: int = 128
    channels: int = 48
    head: str = "entropy"
    dropout: float = 0.1
    guard_bands: int = 3
    fine_tune: bool = False  # train the encoder itself instead of adapters (ablation)
    steps: int = 300
    head_rate: float = 1e-3
    adapter_rate: float = 3e-4
    weight_decay: float = 0.02
    average: float = 0.99  # decay of the exponential moving average of the weights
    frequency_mask: int = 12  # widest masked band, in mel bands; 0 for none
    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    loss: LossWeights = field(default_factory=LossWeights)


def new_model(encoder: FrameEncoder, family: str, encoder_config: dict, recipe: Recipe, seed: int) -> FInfoED:
    """A fresh network around an encoder whose weights are already loaded."""
    torch.manual_seed(seed)
    config = FInfoEDConfig(family=family, encoder=encoder_config, adapter_rank=recipe.adapter_rank,
                           latent=recipe.latent, hidden=recipe.hidden, channels=recipe.channels, head=recipe.head,
                           dropout=recipe.dropout, guard_bands=recipe.guard_bands)
    return FInfoED(config, encoder)


@torch.no_grad()
def fit_standardisation(model: FInfoED, batches: Sequence[torch.Tensor]) -> None:
    """Set the layer mix's fixed mean and deviation from frozen states. batches : wavs (B, N)."""
    total = squares = count = 0.0
    for wav in batches:
        states = model.encode(wav, adapters=False).float()  # (B, L, T, F)
        total = total + states.sum(dim=(0, 2)).double()
        squares = squares + states.square().sum(dim=(0, 2)).double()
        count += states.shape[0] * states.shape[2]
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(1e-8).sqrt()
    model.mix.mean.copy_(mean.float().unsqueeze(1))
    model.mix.deviation.copy_(deviation.float().unsqueeze(1).clamp_min(1e-3))


def mask_bands(mel: torch.Tensor, widest: int) -> torch.Tensor:
    """SpecAugment in frequency, and a random gain per row: mel (B, 80, 2T) -> same shape."""
    if not widest:
        return mel
    masked = mel.clone()
    for row in masked:
        width = int(torch.randint(0, widest + 1, ()))
        start = int(torch.randint(0, mel.shape[1] - width + 1, ()))
        if width and float(torch.rand(())) < 0.5:
            row[start : start + width] = row.mean()
    return masked


class Average:
    """Exponential moving average of every floating-point tensor of a module's state."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()
                      if v.is_floating_point() and not k.startswith("encoder.")}
        self.step = 0

    def update(self, model: torch.nn.Module) -> None:
        self.step += 1
        decay = min(self.decay, self.step / (self.step + 9))
        own = model.state_dict()
        for name, value in self.state.items():
            value.lerp_(own[name], 1 - decay)

    def apply(self, model: torch.nn.Module) -> None:
        model.load_state_dict(self.state, strict=False)


def train(model: FInfoED, folder: Path, clips: Sequence[Clip], recipe: Recipe, *, seed: int,
          log: Path | None = None, device: str = "cpu",
          on_step: Callable[[int, int, dict], None] | None = None) -> dict:
    """Train in place; the averaged weights are in the model at the end. Returns wall time and the last losses."""
    sampler = Sampler(folder, clips, recipe.sampler, seed)
    loader = iter(torch.utils.data.DataLoader(sampler, batch_size=None, num_workers=1, prefetch_factor=6))
    model.to(device)
    fit_standardisation(model, [next(loader).wav.to(device) for _ in range(12)])
    model.encoder.requires_grad_(recipe.fine_tune)
    optimiser, schedule = _optimiser(model, recipe)
    average = Average(model, recipe.average) if not recipe.fine_tune else None
    writer, began = _Log(log), time.monotonic()
    model.train()
    model.encoder.eval()
    parts: dict = {}
    for step in range(recipe.steps):
        batch = next(loader)
        with torch.autocast(device, dtype=torch.bfloat16):
            with torch.no_grad():
                mel = model.features(batch.wav.to(device))
            states = model.encode_features(mask_bands(mel, recipe.frequency_mask))
            output = model.analyse(states)
            loss, parts = finfoed_loss(model, output, mel.float(), batch.clip_label.to(device),
                                       batch.frame_label.to(device), recipe.loss, step / recipe.steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 2.0)
        optimiser.step()
        schedule.step()
        if average:
            average.update(model)
        parts = {"step": step, "loss": float(loss.detach()), **parts, "seconds": round(time.monotonic() - began, 1)}
        writer.row(parts)
        if on_step:
            on_step(step + 1, recipe.steps, parts)
    if average:
        average.apply(model)
    model.eval().requires_grad_(False)
    return {"wall_s": round(time.monotonic() - began, 1), **{k: v for k, v in parts.items() if k != "seconds"}}


def _optimiser(model: FInfoED, recipe: Recipe):
    slow = list(model.encoder.parameters()) if recipe.fine_tune else []
    adapters = list(model.adapters.parameters()) if model.adapters is not None else []
    ids = {id(p) for p in adapters}
    heads = [p for p in model.head_parameters() if id(p) not in ids]
    groups = [{"params": heads, "lr": recipe.head_rate}, {"params": adapters, "lr": recipe.adapter_rate},
              {"params": slow, "lr": recipe.adapter_rate / 10}]
    groups = [g for g in groups if g["params"]]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [g["lr"] for g in groups], total_steps=recipe.steps + 1,
                                                   pct_start=0.15)
    return optimiser, schedule


class _Log:
    """One CSV row per step, flushed, or nothing at all when no path is given."""

    def __init__(self, path: Path | None) -> None:
        self.file = path.open("w", newline="", encoding="utf-8") if path else None
        self.writer: csv.DictWriter | None = None

    def row(self, values: dict) -> None:
        if self.file is None:
            return
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(values))
            self.writer.writeheader()
        self.writer.writerow({k: (f"{v:.5f}" if isinstance(v, float) else v) for k, v in values.items()})
        self.file.flush()


@torch.inference_mode()
def score_clip(model: FInfoED, samples: np.ndarray, window: int = 64_000) -> tuple[np.ndarray, np.ndarray]:
    """Window logits (W,) and frame logits (T,) of one clip, cut as an examination cuts it. samples float32 (n,)."""
    from core.frames import plan_windows

    clip, frames = [], []
    for part in plan_windows(len(samples), window=window):
        piece = torch.from_numpy(np.ascontiguousarray(samples[part.start : part.stop]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model.analyse(model.encode(piece.unsqueeze(0)))
        clip.append(float(output.clip_logit))
        frames.append(output.frame_logit[0].float().numpy())
    return np.array(clip), np.concatenate(frames)
