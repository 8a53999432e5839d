"""Train the small speaker encoder on what its teacher says of the training voices.

It starts as the teacher with narrower bottlenecks (``speaker_narrow``). Every crop, at any speed and however degraded,
should lie where the teacher puts the whole clean clip: cosine loss, the same cosines between crops as between the
teacher's embeddings (relational loss). So should less than a second of it, heard in the crop (stretch); that is how SVVAD
asks who speaks around a frame. The stages should make of the crop what the teacher's make of it (hint). Where it is known
who speaks there is an AAM-softmax whose class centres are the teacher's own centroids. Files and figures are elsewhere.

References
----------
Park et al. 2019, "Relational knowledge distillation", arXiv 1904.05068. Deng et al. 2019, "ArcFace", arXiv 1801.07698.
Romero et al. 2015, "FitNets: hints for thin deep nets", arXiv 1412.6550.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from core.training import speaker_checkpoint, speaker_sounds
from core.training.speaker_data import SAMPLE_RATE, Voice, n_views, samples
from core.training.speaker_narrow import start_narrow
from core.training.speaker_teacher import at_speed, speeds_of
from models.speaker import HOP_S, SpeakerConfig, SpeakerEncoder, centre, fbank, statistics
from models.speaker_campplus import CamPlusPlus

SAVE_EVERY = 200


@dataclass(frozen=True)
class SpeakerRecipe:
    """How the shipped encoder was trained."""

    cycles: tuple[int, ...] = (1300,)  # steps; each cycle's rate goes up and down again
    seconds_per_batch: float = 64.0  # of sound, shared out among crops of one length
    crops_s: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0)
    rate: float = 6e-4  # the highest
    decay: float = 0.02
    heard_first: int = 8  # batches that the teacher's units are chosen on
    stretch: float = 0.4  # weight of the cosine loss of a stretch of each crop, heard in the crop
    stretch_s: tuple[float, float] = (0.4, 1.0)  # its length
    hint: float = 1.0  # weight of the error against what the teacher's stages make of the same crop
    relational: float = 20.0  # weight of the relational loss
    named: float = 0.05  # weight of the AAM-softmax
    margin: float = 0.2  # radians
    scale: float = 24.0
    degraded_view: float = 0.25  # share of crops taken from a view that the corpus keeps degraded
    seed: int = 0


@dataclass(frozen=True)
class Crops:
    """One batch: sound (B, N), the teacher's embedding (B, 192), the class or -1 (B,)."""

    wav: torch.Tensor
    target: torch.Tensor
    named: torch.Tensor


def centroids(voices: Sequence[Voice], embeddings: np.ndarray) -> tuple[torch.Tensor, dict[str, int]]:
    """Mean teacher embedding of every named real speaker, of length 1 (C, 192), and the speakers' numbers."""
    rows: dict[str, list[int]] = {}
    for i, voice in enumerate(voices):
        if voice.speaker and voice.label == "bonafide":
            rows.setdefault(voice.speaker, []).append(i)
    means = np.stack([embeddings[r, 0].mean(0) for r in rows.values()])
    return F.normalize(torch.from_numpy(means), dim=1), {name: i for i, name in enumerate(rows)}


class CropStream(torch.utils.data.IterableDataset):
    """An endless, seeded stream of :class:`Crops`. A source counts by the square root of its length."""

    def __init__(self, voices: Sequence[Voice], embeddings: np.ndarray, numbers: dict[str, int],
                 recipe: SpeakerRecipe, start: int = 0) -> None:
        self.voices, self.embeddings, self.numbers, self.recipe, self.start = voices, embeddings, numbers, recipe, start
        seconds = np.array([v.seconds for v in voices])
        source = np.unique([f"{v.source} {v.label}" for v in voices], return_inverse=True)[1]
        totals = np.bincount(source, seconds)
        self.chance = seconds / np.sqrt(totals[source])
        self.chance /= self.chance.sum()

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.recipe.seed, self.start, worker.id if worker else 0])
        while True:
            yield self.batch(rng)

    def batch(self, rng: np.random.Generator) -> Crops:
        """One batch of crops of one length."""
        length = float(rng.choice(self.recipe.crops_s))
        rows = rng.choice(len(self.voices), int(self.recipe.seconds_per_batch / length), p=self.chance)
        versions = rng.integers(0, self.embeddings.shape[1], len(rows))
        wav = np.stack([self.crop(i, k, int(length * SAMPLE_RATE), rng) for i, k in zip(rows, versions, strict=True)])
        named = [self.numbers.get(self.voices[i].speaker, -1) if k == 0 and self.voices[i].label == "bonafide" else -1
                 for i, k in zip(rows, versions, strict=True)]
        return Crops(torch.from_numpy(wav), torch.from_numpy(self.embeddings[rows, versions]), torch.tensor(named))

    def crop(self, i: int, version: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """n samples of voice i at its ``version``-th speed, degraded."""
        voice = self.voices[i]
        view = int(rng.integers(n_views(voice))) if rng.random() < self.recipe.degraded_view else 0
        speed = speeds_of(voice)[version]
        x = samples(voice, view)
        wanted = int(n * speed) + 16
        start = int(rng.integers(max(1, len(x) - wanted + 1)))
        x = at_speed(x[start : start + wanted], speed)
        return speaker_sounds.disturb(np.resize(x, n), rng, lambda: samples(self.voices[rng.integers(len(self.voices))]))


def relational_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the two sets' cosines between different rows; both (B, 192) of length 1."""
    difference = student @ student.T - teacher @ teacher.T
    n = len(student)
    return (difference.square().sum() - difference.diagonal().square().sum()) / (n * (n - 1))


def margin_loss(student: torch.Tensor, centres: torch.Tensor, named: torch.Tensor, margin: float,
                scale: float) -> torch.Tensor:
    """AAM-softmax against fixed centres (C, 192) over the rows whose class is known; 0 where there are none."""
    known = named >= 0
    if not known.any():
        return student.sum() * 0.0
    cosine = (student[known] @ centres.T).clamp(-0.999, 0.999)  # (K, C)
    target = F.one_hot(named[known], len(centres)).bool()
    return F.cross_entropy(scale * torch.where(target, (cosine.acos() + margin).cos(), cosine), named[known])


def train(teacher: CamPlusPlus, voices: Sequence[Voice], embeddings: np.ndarray, work: Path, recipe: SpeakerRecipe, *,
          workers: int = 1, say: Callable[[str], None] = print) -> SpeakerEncoder:
    """Train, going on from ``work/checkpoint.pt`` where one is; the log is ``work/train.csv``."""
    torch.manual_seed(recipe.seed)
    centres, numbers = centroids(voices, embeddings)
    encoder = SpeakerEncoder(SpeakerConfig())
    first = CropStream(voices, embeddings, numbers, recipe)
    rng = np.random.default_rng(recipe.seed)
    start_narrow(encoder, teacher, [fbank(first.batch(rng).wav) for _ in range(recipe.heard_first)])
    in_training(encoder)
    optimiser = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], recipe.rate,
                                  weight_decay=recipe.decay)
    kept, steps = {"encoder": encoder, "optimiser": optimiser}, sum(recipe.cycles)
    work.mkdir(parents=True, exist_ok=True)
    done = speaker_checkpoint.resume(work / "checkpoint.pt", **kept)
    stream = CropStream(voices, embeddings, numbers, recipe, done)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers))
    rng, began = np.random.default_rng([recipe.seed, done]), time.process_time()
    log = (work / "train.csv").open("a", newline="")
    for step in range(done + 1, steps + 1):
        losses = _step(encoder, teacher, next(loader), centres, recipe, rng)
        rate = recipe.rate * speaker_checkpoint.one_cycle(step, recipe.cycles)
        speaker_checkpoint.descend(losses[0], optimiser, (rate,))
        if step % 20 == 0:
            numbers_now = [round(x.item(), 5) for x in losses]
            csv.writer(log).writerow([step, *numbers_now, round(time.process_time() - began, 1)])
            log.flush()
            say(f"step {step}: loss, cosine, stretch, relational, named, hint = {numbers_now}")
        if step % SAVE_EVERY == 0 or step == steps:
            speaker_checkpoint.save(work / "checkpoint.pt", step, **kept)
    return encoder.eval()


def in_training(encoder: SpeakerEncoder) -> None:
    """Everything learns but the front end, which is the teacher's own and stays it."""
    encoder.train()
    encoder.head.eval().requires_grad_(False)


def stages(trunk: torch.nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    """What each transition, and the last activation, make of the front end's output."""
    found = []
    for name, part in trunk.named_children():
        if name == "stats":
            break
        x = part(x)
        if name.startswith(("transit", "out")):
            found.append(x)
    return found


def one_stretch(rows: int, n_frames: int, length_s: tuple[float, float], rng: np.random.Generator) -> torch.Tensor:
    """Weights (rows, n_frames): 1 within one stretch of each row, of a length drawn evenly, else 0."""
    weights = torch.zeros(rows, n_frames)
    for row in range(rows):
        length = min(n_frames, max(1, round(float(rng.uniform(*length_s)) / HOP_S)))
        start = int(rng.integers(0, n_frames - length + 1))
        weights[row, start : start + length] = 1.0
    return weights


def hint_loss(own: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean over stages of the squared error as a share of the teacher's variance."""
    errors = [F.mse_loss(a.float(), b.float()) / b.float().var() for a, b in zip(own, theirs, strict=True)]
    return torch.stack(errors).mean()


def _step(encoder: SpeakerEncoder, teacher: CamPlusPlus, crops: Crops, centres: torch.Tensor, recipe: SpeakerRecipe,
          rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        features = speaker_sounds.mute_stretches(fbank(crops.wav), rng)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            heard = encoder.head(centre(features).transpose(1, 2))  # (B, 320, T)
            theirs = stages(teacher.xvector, heard)
        own = stages(encoder.trunk, heard)
        spread = encoder.spread(own[-1], features.shape[1])
        student = encoder.from_statistics(*statistics(*spread))
        part = encoder.from_statistics(*statistics(*spread, one_stretch(*features.shape[:2], recipe.stretch_s, rng)))
        hint = hint_loss(own, theirs)
    student, part = F.normalize(student.float(), dim=1), F.normalize(part.float(), dim=1)
    cosine = (1 - (student * crops.target).sum(1)).mean()
    stretch = (1 - (part * crops.target).sum(1)).mean()
    relational = relational_loss(student, crops.target)
    named = margin_loss(student, centres, crops.named, recipe.margin, recipe.scale)
    total = (cosine + recipe.stretch * stretch + recipe.relational * relational + recipe.named * named
             + recipe.hint * hint)
    return total, cosine, stretch, relational, named, hint
