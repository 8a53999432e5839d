"""Where a detector fails most: the systems it takes for people, the people it takes for systems, and which clips to hear.

Works on the table of held-out scores alone. A system or source counts by the share of its clips on the wrong side of the
threshold at which both errors are equal over all clips, and is ranked by the lower end of that share's 95 % interval
(Wilson 1927), so that three unlucky clips don't come before three hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import metrics
from core.validation import HeldOutScores

Z = 1.96


@dataclass(frozen=True)
class Example:
    """A clip to listen to: its id, its score, and where its recording is public."""

    clip: str
    score: float
    source: str
    file: str
    system: str


@dataclass(frozen=True)
class Worst:
    """A spoofing system or a bona fide source: how many of its clips are on the wrong side, and the worst of them."""

    kind: str  # system | bona fide source
    name: str
    family: str
    clips: int
    wrong: int
    share: float
    low: float
    high: float
    eer: float | None
    examples: tuple[Example, ...]


def wilson(wrong: int, n: int, z: float = Z) -> tuple[float, float]:
    """95 % interval of a share of ``wrong`` in ``n`` (Wilson's score interval)."""
    p, d = wrong / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def worst(held: HeldOutScores, *, most: int = 10, examples: int = 5) -> tuple[list[Worst], list[Worst]]:
    """(spoofing systems, bona fide sources), the worst first, at most ``most`` each; none where nothing was wrong."""
    threshold = metrics.eer(*held.split())[1]
    systems = [_judge(held, "system", name, ~held.bonafide & (held.system == name), threshold, examples)
               for name in np.unique(held.system[~held.bonafide])]
    sources = [_judge(held, "bona fide source", name, held.bonafide & (held.source == name), threshold, examples)
               for name in np.unique(held.source[held.bonafide])]
    return _ranked(systems, most), _ranked(sources, most)


def _judge(held: HeldOutScores, kind: str, name: str, here: np.ndarray, threshold: float, examples: int) -> Worst:
    spoof = kind == "system"
    score = held.score[here]
    wrong = int((score > threshold).sum() if spoof else (score <= threshold).sum())
    order = np.flatnonzero(here)[np.argsort(-score if spoof else score, kind="stable")][:examples]
    shown = tuple(Example(str(held.clip[i]), float(held.score[i]), str(held.source[i]), str(held.file[i]),
                          str(held.system[i])) for i in order)
    eer = metrics.eer(held.score[held.bonafide], score)[0] if spoof else None
    family = "/".join(np.unique(held.family[here])) if spoof else ""
    return Worst(kind, str(name), family, len(score), wrong, wrong / len(score), *wilson(wrong, len(score)), eer, shown)


def _ranked(found: Sequence[Worst], most: int) -> list[Worst]:
    return sorted((w for w in found if w.wrong), key=lambda w: (-w.low, -w.share, w.name))[:most]


def to_card(held: HeldOutScores, *, most: int = 10, examples: int = 5) -> dict[str, Any]:
    """The list as the model card has it under ``worst``."""
    systems, sources = worst(held, most=most, examples=examples)
    return {"threshold": round(float(metrics.eer(*held.split())[1]), 4),
            "meaning": "A clip counts as wrong when it lies on the wrong side of the score at which both errors are "
                       "equal over all held-out clips. The worst are ranked by the lower end of the interval.",
            "systems": [_card(w) for w in systems], "bona_fide_sources": [_card(w) for w in sources]}


def _card(w: Worst) -> dict[str, Any]:
    row = {"name": w.name, "family": w.family, "clips": w.clips, "wrong": w.wrong,
           "share_wrong": {"value": round(w.share, 4), "low": round(w.low, 4), "high": round(w.high, 4)},
           "eer": None if w.eer is None else round(w.eer, 4),
           "listen": [{"clip": e.clip, "score": round(e.score, 4), "source": e.source, "file": e.file, "system": e.system}
                      for e in w.examples]}
    return {k: v for k, v in row.items() if v not in ("", None)}
