"""Is there more than one voice? From the embeddings of short stretches of speech, clustered, with its measured error.

Stretches of two seconds are joined bottom up by average linkage of their cosine distance. The measure is the greatest
distance at which two groups join of which each holds at least ``LEAST_S`` of speech: small where one person speaks
throughout, large where two do. The limit belongs to one encoder; `several.json` beside this file says which, how the
limit was chosen and how often it errs. For other weights the check isn't made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.checks import CheckRow
from core.errors import EarwitnessError
from core.frames import SAMPLE_RATE
from core.segments import Segment
from core.speaker.vad import HOP

if TYPE_CHECKING:
    from core.audio import Recording
    from core.speaker.listen import Spans
    from core.speaker.networks import SpeakerNetworks

MEASURED = Path(__file__).with_name("several.json")
LEAST_S = 2.0  # speech that a second voice must have
SPOKEN_S = 1.0  # speech that a stretch must hold to count
MOST = 1_200  # stretches clustered; of longer recordings every second, third ... one
CODE, LABEL, UNIT = "several-speakers", "More than one voice", "cosine distance"


@dataclass(frozen=True, eq=False)
class Speakers:
    """How different the voices in a recording are.

    distance: the measure, None where there is too little speech for two voices; limit: None where it isn't known for
    these weights; frames [S, 2], groups [S]: the stretches and the group of each at the limit, 0 for the most frequent.
    """

    distance: float | None
    limit: float | None
    frames: np.ndarray
    groups: np.ndarray

    @property
    def several(self) -> bool | None:
        """Whether more than one voice was found; None where that wasn't examined."""
        if self.distance is None or self.limit is None:
            return None
        return self.distance > self.limit


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """The limit and its error rates; empty where they were never measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}


def limit_for(networks: SpeakerNetworks) -> float | None:
    """The limit of these weights, or None where it was measured with others."""
    known = measured()
    ours = bool(networks.encoder_sha256) and known.get("encoder_sha256") == networks.encoder_sha256
    return float(known["limit"]) if ours else None


def compare_spans(spans: Spans, limit: float | None) -> Speakers:
    """Cluster the spans of a recording."""
    chosen = np.flatnonzero((spans.speech_s >= SPOKEN_S) & np.isfinite(spans.embeddings).all(1))
    chosen = chosen[:: -(-len(chosen) // MOST) or 1]
    frames = spans.frames[chosen]
    if len(chosen) < 2:
        return Speakers(None, limit, frames, np.zeros(len(chosen), np.int64))
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    tree = linkage(pdist(spans.embeddings[chosen].astype(np.float64), "cosine"), "average")
    groups = np.zeros(len(chosen), np.int64)
    if limit is not None:
        found = fcluster(tree, limit, "distance")
        by_size = np.argsort(-np.bincount(found), kind="stable")
        groups = np.argsort(by_size)[found]
    return Speakers(greatest_join(tree, _own_seconds(frames)), limit, frames, groups)


def _own_seconds(frames: np.ndarray) -> np.ndarray:
    """Seconds that each span adds to the one before it, [S]: spans overlap."""
    before = np.concatenate(([-(10**9)], frames[:-1, 1]))
    return (frames[:, 1] - np.maximum(frames[:, 0], before)) * HOP / SAMPLE_RATE


def greatest_join(tree: np.ndarray, seconds: np.ndarray) -> float | None:
    """The greatest height at which two groups of at least LEAST_S join, 0 where everything joins piece by piece.

    tree : scipy's linkage; seconds : [shape=(S,)]. None where there is too little for two such groups.
    """
    held, heights = list(seconds), []
    for left, right, height, _ in tree:
        a, b = held[int(left)], held[int(right)]
        held.append(a + b)
        if min(a, b) >= LEAST_S:
            heights.append(float(height))
    return max(heights, default=0.0) if sum(seconds) >= 2 * LEAST_S else None


def voices(found: Speakers) -> tuple[Segment, ...]:
    """The stretches of every voice but the most frequent one, joined where they touch."""
    joined: list[list[int]] = []
    for (first, last), group in zip(found.frames.tolist(), found.groups.tolist(), strict=True):
        if group and joined and joined[-1][2] == group and first <= joined[-1][1]:
            joined[-1][1] = last
        elif group:
            joined.append([first, last, group])
    return tuple(Segment(a * HOP / SAMPLE_RATE, b * HOP / SAMPLE_RATE, f"voice {g + 1}") for a, b, g in joined)


def examine_speakers(recording: Recording, networks: SpeakerNetworks) -> Speakers:
    """The measure of a recording by itself. Raises UnreadableAudio (too-short)."""
    from core.speaker.listen import pooled

    return compare_spans(pooled(recording.samples, networks)[1], limit_for(networks))


def speakers_row(recording: Recording, device: str = "auto") -> CheckRow:
    """The check for the table of a finding, as advice. Never raises: what can't be examined says so."""
    from core.speaker.networks import shipped

    try:
        found = examine_speakers(recording, shipped(device))
    except EarwitnessError as problem:
        return _open(problem.message)
    return row_of(found)


def row_of(found: Speakers) -> CheckRow:
    """A measure as a line of the table of checks."""
    if found.limit is None:
        return _open("no limit was measured for these weights")
    if found.distance is None:
        return _open(f"two voices of {LEAST_S:.0f} s each can't be told apart in so little speech")
    state = ("there may be more than one speaker, and a finding for the whole describes neither; examine each alone on "
             "the Speaker page") if found.several else "the voice stays the same"
    words = f"{LABEL}: {found.distance:.2f}, at most {found.limit:.2f} for one voice; {state}."
    return CheckRow(CODE, LABEL, found.distance, UNIT, found.limit, not found.several, False, words)


def _open(why: str) -> CheckRow:
    return CheckRow(CODE, LABEL, None, UNIT, None, None, False, f"{LABEL}: not examined; {why.rstrip('.')}.")
