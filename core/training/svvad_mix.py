"""Mixtures for SVVAD, made on the fly: turns of a target and of others, overlap, noise, music, an absent target.

Who speaks when is known from the mixing and handed along as ``truth`` for evaluation; no loss looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.training import speaker_sounds
from core.training.speaker_data import SAMPLE_RATE, Voice, samples
from core.training.speaker_teacher import at_speed, embed, speeds_of
from models.frontend import HOP

SILENCE, TARGET, OTHER = 0, 1, 2
FLOOR_DB = -35.0  # a frame this far below a voice's loudest holds no speech of it
FADE = 80  # samples
MOST_OTHERS = 0.9  # share of the time
ONE_VOICE, ANOTHER = 0.4, 0.35  # least cosine of a clip's halves, most of two clips that are two people
Draw = Callable[[int], np.ndarray]  # n -> n samples of one voice


@dataclass(frozen=True, eq=False)
class Mixture:
    """One mixture: sound (n,), truth (n // 160,) as SILENCE, TARGET or OTHER (frames of both are the target's)."""

    wav: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class MixBatch:
    """Mixtures with clean embeddings (B, 192) of length 1: enrolment and another part of the target, the interferer."""

    wav: torch.Tensor  # (B, N)
    enrolment: torch.Tensor
    target: torch.Tensor
    other: torch.Tensor
    present: torch.Tensor  # (B,) bool
    mixed: torch.Tensor  # (B,) bool: somebody else speaks, too
    truth: torch.Tensor  # (B, T)


def active(x: np.ndarray) -> np.ndarray:
    """Whether a clean voice speaks in each frame centred on sample 160 t: (n,) -> (n // 160,) bool."""
    padded = np.pad(x.astype(np.float64) ** 2, (HOP, HOP))
    total = np.concatenate([[0.0], np.cumsum(padded)])
    at = np.arange(len(x) // HOP) * HOP
    power = (total[at + 2 * HOP] - total[at]) / (2 * HOP)
    return power > max(power.max(initial=0.0) * 10 ** (FLOOR_DB / 10), 1e-9)


def truth_of(target: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The classes of frames of a mixture from its two clean parts, both (n,)."""
    return np.where(active(target), TARGET, np.where(active(others), OTHER, SILENCE))


def turns(n: int, share: float, target: Draw, others: Sequence[Draw],
          rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turns one after the other, ``share`` of the time others': clean target and clean others, both (n,)."""
    pieces = [(True, p) for p in _cut(round(n * (1 - share)), rng)] + [(False, p) for p in _cut(round(n * share), rng)]
    ours, theirs, start = np.zeros(n, np.float32), np.zeros(n, np.float32), 0
    for i in rng.permutation(len(pieces)):
        mine, length = pieces[i]
        length = min(length, n - start)
        if length <= 2 * FADE:
            continue
        x = (target if mine else others[int(rng.integers(len(others)))])(length) * 10 ** (rng.uniform(-4, 4) / 20)
        x = _faded(x)
        (ours if mine else theirs)[start : start + length] = x
        start += length
    return ours, theirs


def _cut(n: int, rng: np.random.Generator) -> list[int]:
    """n samples in one to three parts of 0.4 s and more."""
    least = int(0.4 * SAMPLE_RATE)
    parts = min(int(rng.integers(1, 4)), n // least)
    if parts < 1:
        return [n] if n > 2 * FADE else []
    cuts = np.sort(rng.integers(0, n - parts * least + 1, parts - 1)) + least * np.arange(1, parts)
    return np.diff([0, *cuts, n]).tolist()


def _faded(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[:FADE] *= np.linspace(0, 1, FADE)
    x[-FADE:] *= np.linspace(1, 0, FADE)
    return x.astype(np.float32)


def overlapped(n: int, target: Draw, other: Draw, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The target throughout, another over a part of it at -5 to 20 dB: clean parts, both (n,)."""
    ours, theirs = target(n), np.zeros(n, np.float32)
    length = int(rng.uniform(0.3, 1.0) * n)
    start = int(rng.integers(0, n - length + 1))
    gain = ours.std() / 10 ** (rng.uniform(-5, 20) / 20)
    x = other(length)
    theirs[start : start + length] = _faded(x * gain / (x.std() + 1e-6))
    return ours, theirs


def mix(n: int, target: Draw | None, others: Sequence[Draw], rng: np.random.Generator) -> Mixture:
    """One training mixture of n samples; target None: the one who is sought isn't in it."""
    if target is None:
        ours, theirs = turns(n, 1.0, others[0], others, rng)
    elif rng.random() < 0.25:
        ours, theirs = overlapped(n, target, others[0], rng)
    else:
        ours, theirs = turns(n, float(rng.uniform(0.0, MOST_OTHERS)), target, others, rng)
    wav, truth = ours + theirs, truth_of(ours, theirs)
    if rng.random() < 0.25:
        start, length = int(rng.integers(0, n // 2)), int(rng.uniform(0.1, 0.4) * n)
        wav, truth = wav.copy(), truth.copy()
        wav[start : start + length] *= 0.003
        truth[start // HOP : (start + length) // HOP] = SILENCE
    if rng.random() < 0.6:
        kind = "music" if rng.random() < 0.4 else "noise"
        wav = speaker_sounds.behind(wav, rng, lambda: others[0](n), (3.0, 25.0), kind)
    return Mixture(speaker_sounds.augment.level(wav, rng), truth)


class MixStream(torch.utils.data.IterableDataset):
    """An endless, seeded stream of :class:`MixBatch` from training voices of three seconds and more.

    A voice is heard in its two halves: one is the enrolment, what is mixed comes from the other. Nobody says who speaks
    in most clips: two clips that sound alike are never target and other of one mixture, and a clip whose halves sound
    like different people isn't used. Half of the mixtures stay within one source, so that the channel tells nothing.
    """

    def __init__(self, voices: Sequence[Voice], halves: np.ndarray, batch: int, seconds: float, absent: float,
                 seed: int) -> None:
        self.voices, self.halves = voices, halves  # (V, versions, 2, 192)
        self.batch_size, self.n, self.absent, self.seed = batch, int(seconds * SAMPLE_RATE), absent, seed
        self.source = np.unique([v.source for v in voices], return_inverse=True)[1]
        self.chance = 1 / np.sqrt(np.bincount(self.source)[self.source])
        self.chance[(halves[:, 0, 0] * halves[:, 0, 1]).sum(1) < ONE_VOICE] = 0
        self.chance /= self.chance.sum()
        whole = halves.sum(2)
        self.whole = whole / np.linalg.norm(whole, axis=2, keepdims=True)  # (V, versions, 192)

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield self.batch(rng)

    def draw(self, i: int, version: int, half: int, rng: np.random.Generator) -> Draw:
        """A source of sound from one half of voice i."""
        x = at_speed(samples(self.voices[i]), speeds_of(self.voices[i])[version])
        x = x[: len(x) // 2] if half == 0 else x[len(x) // 2 :]
        x = x / (float(x.std()) + 1e-6) * 0.05

        def some(n: int) -> np.ndarray:
            start = int(rng.integers(max(1, len(x) - n + 1)))
            return np.resize(x[start : start + n], n)

        return some

    def company(self, target: int, version: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """One to three others for a target as (voice, version): none that sounds like it."""
        versions = rng.integers(0, self.halves.shape[1], len(self.voices))
        alike = (self.whole[np.arange(len(self.voices)), versions] * self.whole[target, version]).sum(1)
        alike[target] = 2.0
        least_alike = float(np.sort(alike)[:3][-1])  # three may always speak
        chance = self.chance * (alike <= max(ANOTHER, min(1.0, least_alike)))
        near = chance * (self.source == self.source[target])
        chance = near if rng.random() < 0.5 and np.count_nonzero(near) >= 3 else chance
        n = min(int(rng.integers(1, 4)), np.count_nonzero(chance))
        return [(int(i), int(versions[i])) for i in rng.choice(len(chance), n, replace=False, p=chance / chance.sum())]

    def batch(self, rng: np.random.Generator) -> MixBatch:
        """One batch."""
        rows = []
        while len(rows) < self.batch_size:
            target, version = int(rng.choice(len(self.voices), p=self.chance)), int(rng.integers(self.halves.shape[1]))
            others, half, present = self.company(target, version, rng), int(rng.integers(2)), rng.random() >= self.absent
            draws = [self.draw(*other, int(rng.integers(2)), rng) for other in others]
            mixture = mix(self.n, self.draw(target, version, half, rng) if present else None, draws, rng)
            own = self.halves[target, version]
            rows.append((mixture.wav, own[1 - half], own[half], self.whole[others[0]], present,
                         bool((mixture.truth == OTHER).any()), mixture.truth))
        return MixBatch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


def halves_of(network: torch.nn.Module, voices: Sequence[Voice]) -> np.ndarray:
    """Clean embeddings of both halves of every voice at each of its speeds: (V, versions, 2, 192)."""
    sounds = []
    for voice in voices:
        for speed in speeds_of(voice):
            x = at_speed(samples(voice), speed)
            sounds += [x[: len(x) // 2], x[len(x) // 2 :]]
    return embed(network, sounds).reshape(len(voices), -1, 2, 192)
