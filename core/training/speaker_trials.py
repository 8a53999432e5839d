"""Verification trials of held-out speakers: the recipe, equal error rates with intervals over speakers, the calibration.

A side is about four seconds of one speaker; short clips of a speaker are joined. Same-speaker trials join different
recordings of a speaker; different-speaker trials stay within one kind of recording (read books, prompts, games,
meetings), so that the channel can't give them away. Intervals draw speakers anew: a same-speaker trial counts as often
as its speaker is drawn, a different-speaker trial by the product of both.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.bootstrap import Interval, eer_many, percentile_interval
from core.det import eer
from core.training import augment, speaker_sounds
from core.training.speaker_data import SAMPLE_RATE, Voice, samples

SIDE_S, LEAST_S, SHORT_S = 4.0, 2.5, 2.0
SIDES, SAME, DIFFERENT = 10, 45, 4_000  # at most: sides of a speaker, same-speaker trials of one, other trials
CONDITIONS = ("clean", "noisy", "short")
DRAWS = 1_000
RECIPE = (
    f"sides of {SIDE_S:g} s (at least {LEAST_S:g} s, short clips of a speaker joined, at most {SIDES} per speaker and "
    f"source); at most {SAME} same-speaker trials per speaker, always of different recordings; {DIFFERENT} different-"
    "speaker trials, both from the same kind of recording; noisy: the test side reverberated (half of them) and with "
    f"noise, music or other voices at 5 to 15 dB; short: the test side cut to {SHORT_S:g} s; intervals: {DRAWS} draws of "
    "speakers"
)


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a trial. ``kind``: the kind of recording; ``recordings``: the clips it was joined from."""

    speaker: str
    kind: str
    recordings: tuple[str, ...]
    wav: np.ndarray  # (n,) float32


@dataclass(frozen=True, eq=False)
class Trials:
    """Pairs of sides (n, 2) as row numbers, whether each is of one speaker, and the speakers' numbers (n, 2)."""

    pairs: np.ndarray
    same: np.ndarray
    speakers: np.ndarray


def kind_of(voice: Voice) -> str:
    """What kind of recording a clip is: speakers are only ever told apart within one."""
    for prefix, kind in (("libri-", "audiobooks"), ("LJ", "audiobooks"), ("daps-", "studio"), ("p", "studio")):
        if voice.speaker.startswith(prefix) and voice.source.count("/"):
            return kind
    return voice.source


def sides(voices: Sequence[Voice]) -> list[Side]:
    """Held-out sides, the same every time."""
    clips: dict[tuple[str, str], list[Voice]] = defaultdict(list)
    for voice in sorted(voices, key=lambda v: zlib.crc32(v.name.encode())):
        clips[voice.speaker, voice.source].append(voice)
    made = []
    for (speaker, _), own in sorted(clips.items()):
        mine: list[Side] = []
        names: list[str] = []
        parts: list[np.ndarray] = []
        for voice in own:
            names.append(voice.name)
            parts.append(samples(voice))
            if sum(map(len, parts)) >= LEAST_S * SAMPLE_RATE:
                wav = np.concatenate(parts)[: int(SIDE_S * SAMPLE_RATE)]
                mine.append(Side(speaker, kind_of(voice), tuple(names), wav))
                names, parts = [], []
            if len(mine) == SIDES:
                break
        made += mine
    return made


def trials(given: Sequence[Side], seed: int = 0) -> Trials:
    """The trial list of some sides."""
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[int]] = defaultdict(list)
    by_kind: dict[str, list[int]] = defaultdict(list)
    for i, side in enumerate(given):
        by_speaker[side.speaker].append(i)
        by_kind[side.kind].append(i)
    same = []
    for rows in by_speaker.values():
        pairs = list(combinations(rows, 2))
        chosen = rng.permutation(len(pairs))[:SAME]
        same += [pairs[k] for k in chosen]
    different = [(a, b) for rows in by_kind.values() for a, b in combinations(rows, 2)
                 if given[a].speaker != given[b].speaker]
    different = [different[k] for k in rng.permutation(len(different))[:DIFFERENT]]
    numbers = {name: i for i, name in enumerate(by_speaker)}
    pairs = np.array(same + different)
    who = np.array([[numbers[given[a].speaker], numbers[given[b].speaker]] for a, b in pairs])
    return Trials(pairs, np.arange(len(pairs)) < len(same), who)


def disturbed(side: Side, others: Sequence[Side], condition: str) -> np.ndarray:
    """The test side of a trial under one of :data:`CONDITIONS`; the same every time."""
    rng = np.random.default_rng(zlib.crc32("|".join((condition, *side.recordings)).encode()))
    x = side.wav
    if condition == "short":
        return x[: int(SHORT_S * SAMPLE_RATE)]
    if condition == "clean":
        return x
    if rng.random() < 0.5:
        x = augment.reverberate(x, rng)
    strangers = [s for s in others if s.speaker != side.speaker]
    return speaker_sounds.behind(x, rng, lambda: strangers[rng.integers(len(strangers))].wav, (5.0, 15.0))


def counts(given: Trials, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How often each same- and each different-speaker trial is in n draws of speakers: (n, same), (n, different)."""
    rng = np.random.default_rng(seed)
    total = int(given.speakers.max()) + 1
    drawn = rng.multinomial(total, np.full(total, 1 / total), size=n)  # (n, speakers)
    first, second = drawn[:, given.speakers[:, 0]], drawn[:, given.speakers[:, 1]]
    weights = np.where(given.same, first, first * second).astype(np.float64)
    return weights[:, given.same], weights[:, ~given.same]


def eer_over_speakers(scores: np.ndarray, given: Trials, n: int = DRAWS) -> tuple[Interval, np.ndarray]:
    """EER with its interval over speakers, and the draws (n,), which are the same speakers for any scores."""
    same, different = scores[given.same], scores[~given.same]
    draws = []
    for start in range(0, n, 100):
        c_same, c_different = counts(given, min(100, n - start), seed=start)
        usable = (c_same.sum(1) > 0) & (c_different.sum(1) > 0)
        draws.append(np.full(len(usable), np.nan))
        draws[-1][usable] = eer_many(same, different, c_same[usable], c_different[usable])
    values = np.concatenate(draws)
    return percentile_interval(float(eer(same, different)[0]), values, 0.95), values
