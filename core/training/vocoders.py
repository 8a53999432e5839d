"""Train small vocoders on bona fide clips, and copy clips with them: a matched spoof that differs in the synthesis alone.

Training minimises a multi-resolution STFT loss and a mel distance, and after ``Recipe.alone`` of the steps also what a
spectrogram critic sees. Every stage of training is kept as a file of its own: an early one errs differently from a late
one, so each is another system. A run can be killed at any moment and goes on from its last state.

    DIR/state.pt                   weights, critic and optimisers, loaded with weights_only
    DIR/<name>-<step>.safetensors  a finished stage
    DIR/log.csv                    step, losses, seconds

Reference
---------
Yamamoto et al. 2020, "Parallel WaveGAN", arXiv 1910.11480 (multi-resolution STFT loss).
Wang & Yamagishi 2023, arXiv 2210.10570 (vocoded speech as training data for spoofing detectors).
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.errors import EarwitnessError
from models.vocoder import Vocoder, VocoderConfig, VocoderError, build_vocoder, load_vocoder, save_vocoder
from models.vocoder_critic import Critic, adversarial_loss, critic_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE_RATE = 16_000
RESOLUTIONS = ((1024, 256), (512, 128), (2048, 400), (256, 64))  # n_fft, hop
Copier = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class VocoderTrainingError(EarwitnessError):
    """A vocoder cannot be trained or used as asked; the message says why."""

    code = "vocoder"


@dataclass(frozen=True)
class VocoderRecipe:
    """How long and on what a vocoder is trained."""

    name: str = "istft"
    config: VocoderConfig = field(default_factory=VocoderConfig)
    steps: int = 4000
    batch: int = 8
    seconds: float = 0.8  # of each crop
    rate: float = 5e-4  # peak learning rate, cosine to a tenth
    alone: float = 0.4  # share of the steps before the critic joins
    stages: tuple[float, ...] = (0.2, 0.4, 0.7, 1.0)  # shares of the steps at which the network is kept
    bf16: bool = True  # autocast; 2-3 times as fast where the CPU has it
    save_every: int = 100


def recipe_for(kind: str, steps: int = 4000, name: str = "") -> VocoderRecipe:
    """A recipe of a kind in a size that trains on two cores. Raises VocoderTrainingError for an unknown kind."""
    sizes = {"istft": (VocoderConfig("istft", channels=256, n_fft=800, hop=200), 8, 0.8),
             "hifigan": (VocoderConfig("hifigan", channels=128), 6, 0.5),
             "nsf": (VocoderConfig("nsf", channels=128, blocks=10), 4, 0.5),
             "vq": (VocoderConfig("vq", channels=192, blocks=4), 8, 0.8)}
    if kind not in sizes or steps < 1:
        raise VocoderTrainingError(f"There is no vocoder {kind!r} of {steps} steps; known are {', '.join(sizes)}.")
    config, batch, seconds = sizes[kind]
    return VocoderRecipe(name or kind, config, steps, batch, seconds)


def spectral_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean over resolutions of spectral convergence and log-magnitude distance, (B, N) each, a scalar."""
    total = y.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=y.device)
        a, b = (torch.stft(v, n_fft, hop, window=window, return_complex=True).abs().clamp_min(1e-5) for v in (y, x))
        total = total + torch.linalg.norm(b - a) / torch.linalg.norm(b) + (a.log() - b.log()).abs().mean()
    return total / len(RESOLUTIONS)


def train_vocoder(clips: Sequence[np.ndarray], into: Path, recipe: VocoderRecipe, *, seed: int = 0,
                  minutes: float | None = None, on_step: Callable[[int, int, float], None] | None = None) -> list[Path]:
    """Train, or go on training, and return the stages kept so far.

    clips : float32 (n,) at 16 kHz, bona fide, each at least as long as a crop. minutes : stop after so long with the
    state saved. Raises VocoderTrainingError where no clip is long enough or a saved state is another recipe's.
    """
    size = int(recipe.seconds * SAMPLE_RATE) // recipe.config.hop * recipe.config.hop
    clips = [clip for clip in clips if len(clip) > size]
    if not clips:
        raise VocoderTrainingError(f"No clip is longer than {recipe.seconds} s; a vocoder needs some to train on.")
    into.mkdir(parents=True, exist_ok=True)
    run = _Run(into, recipe, seed)
    begun, marks = time.monotonic(), {max(1, round(share * recipe.steps)) for share in recipe.stages}
    while run.step < recipe.steps:
        wav = torch.from_numpy(_crops(clips, size, recipe.batch, np.random.default_rng([seed, run.step])))
        parts = run.update(wav)
        if not np.isfinite(parts["spectral"]):
            raise VocoderTrainingError(f"Training diverged at step {run.step}; lower the learning rate.")
        over = minutes is not None and time.monotonic() - begun > 60 * minutes
        if run.step in marks:
            save_vocoder(run.model, into / f"{recipe.name}-{run.step}.safetensors", notes={"step": str(run.step)})
        if run.step % recipe.save_every == 0 or over or run.step in marks or run.step == recipe.steps:
            run.save(parts, time.monotonic() - begun)
        if on_step:
            on_step(run.step, recipe.steps, parts["spectral"])
        if over:
            break
    return sorted(into.glob(f"{recipe.name}-*.safetensors"), key=lambda p: int(p.stem.rsplit("-", 1)[1]))


class _Run:
    """The networks, optimisers and step of one training, restorable from its folder."""

    def __init__(self, into: Path, recipe: VocoderRecipe, seed: int) -> None:
        self.into, self.recipe, self.step = into, recipe, 0
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Vocoder = build_vocoder(recipe.config)
            self.critic = Critic()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), recipe.rate, betas=(0.8, 0.99), weight_decay=0.01)
        self.critics_optimiser = torch.optim.AdamW(self.critic.parameters(), recipe.rate / 2, betas=(0.8, 0.99))
        state = into / "state.pt"
        if state.exists():
            self._restore(state)
        self.model.train()

    def _parts(self) -> Mapping[str, torch.nn.Module | torch.optim.Optimizer]:
        return {"model": self.model, "critic": self.critic, "optimiser": self.optimiser,
                "critics_optimiser": self.critics_optimiser}

    def _restore(self, path: Path) -> None:
        try:
            saved = torch.load(path, weights_only=True)
            if saved["recipe"] != repr(self.recipe.config):
                raise VocoderTrainingError(f"{path} belongs to another configuration: choose another folder.")
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.step = int(saved["step"])
        except VocoderTrainingError:
            raise
        except Exception as error:  # a damaged state fails in many ways
            raise VocoderTrainingError(f"{path} cannot be resumed ({error}): delete it to begin again.") from error

    def save(self, parts: dict[str, float], seconds: float) -> None:
        """State and one line of the log; a full disk leaves the last whole state behind."""
        path = self.into / "state.part"
        torch.save({"recipe": repr(self.recipe.config), "step": self.step,
                    **{name: part.state_dict() for name, part in self._parts().items()}}, path)
        os.replace(path, self.into / "state.pt")
        fresh = not (self.into / "log.csv").exists()
        with (self.into / "log.csv").open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", *parts, "seconds"])
            writer.writerow([self.step, *(f"{value:.5f}" for value in parts.values()), f"{seconds:.0f}"])

    def update(self, wav: torch.Tensor) -> dict[str, float]:
        """One step of the generator and, once it has joined, one of the critic."""
        share = self.step / self.recipe.steps
        rate = self.recipe.rate * min(1.0, (self.step + 1) / 50) * (0.1 + 0.45 * (1 + np.cos(np.pi * share)))
        for optimiser, factor in ((self.optimiser, 1.0), (self.critics_optimiser, 0.5)):
            optimiser.param_groups[0]["lr"] = float(rate * factor)
        auto = torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bf16)
        with auto:
            made = self.model(wav)
        made = made.float()
        spectral = spectral_loss(made, wav)
        mel = (self.model.mel(made) - self.model.mel(wav)).abs().mean()
        loss = 2.0 * spectral + 4.0 * mel
        if self.model.extra is not None:
            loss = loss + self.model.extra.float()
        verdict = torch.zeros(())
        if share >= self.recipe.alone:
            with auto:
                verdict = critic_loss(self.critic(wav), self.critic(made.detach()))
            self.critics_optimiser.zero_grad(set_to_none=True)
            verdict.backward()
            self.critics_optimiser.step()
            with auto:
                fool, match = adversarial_loss(self.critic(wav), self.critic(made))
            loss = loss + 0.3 * fool + match
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        return {"spectral": spectral.item(), "mel": mel.item(), "critic": verdict.item()}


def _crops(clips: Sequence[np.ndarray], size: int, batch: int, rng: np.random.Generator) -> np.ndarray:
    """float32 (batch, size): places drawn by length, at levels of -32 to -14 dBFS."""
    weights = np.array([len(clip) for clip in clips], float)
    rows = np.empty((batch, size), np.float32)
    for row, index in zip(rows, rng.choice(len(clips), batch, p=weights / weights.sum()), strict=True):
        for _ in range(4):  # not a pause, if it can be helped
            start = int(rng.integers(0, len(clips[index]) - size + 1))
            row[:] = clips[index][start : start + size]
            if np.sqrt(np.mean(row**2)) > 1e-3:
                break
        row *= 10 ** (rng.uniform(-32, -14) / 20) / (np.sqrt(np.mean(row**2)) + 1e-5)
        row /= max(1.0, float(np.abs(row).max()) / 0.97)
    return rows


@lru_cache(maxsize=8)
def _loaded(path: Path, _changed: int) -> Vocoder:
    try:
        return load_vocoder(path)
    except VocoderError as error:
        raise VocoderTrainingError(f"{error}.") from error


def neural_copy(samples: np.ndarray, rng: np.random.Generator, checkpoint: Path | str) -> np.ndarray:
    """The clip rebuilt by a trained vocoder: float32 (n,) at 16 kHz in, the same length and level out.

    A codec codes with a random half or more of its stages. Raises VocoderTrainingError for a file that is no vocoder.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise VocoderTrainingError(f"There is no vocoder at {path}: train one, or leave neural copies out.")
    model = _loaded(path.resolve(), path.stat().st_mtime_ns)
    rms = float(np.sqrt(np.mean(samples**2))) + 1e-9
    wav = torch.from_numpy(np.ascontiguousarray(samples * (0.08 / rms), dtype=np.float32))[None]
    most = model.config.quantisers
    stages = int(rng.integers((most + 1) // 2, most + 1)) if model.config.kind == "vq" else None
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(int(rng.integers(2**31)))  # the source filter's noise
        if stages:
            model.stages = stages  # one process, one thread: the builder's workers don't share networks
        y = model(wav)[0].numpy()
    y = y * (rms / (float(np.sqrt(np.mean(y**2))) + 1e-9))
    return (y / max(1.0, float(np.abs(y).max()))).astype(np.float32)


def neural_copiers(folder: Path) -> dict[str, Copier]:
    """A copier per vocoder file in a folder and the folders in it, named after the file: ``istft-1600`` and so on."""
    found = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*/*.safetensors"))
    return {path.stem: (lambda x, rng, path=path: neural_copy(x, rng, path)) for path in found}
