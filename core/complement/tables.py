"""What members have in common on clips that none of them had heard: errors from held-out scores, CKA from the card.

ACoRL's table and that of the default model are joined by clip, so both speak of the same recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.complement.shipped import FINFOED, HELD_OUT, NETWORKS, PANEL, Shipped

if TYPE_CHECKING:
    from core.validation import HeldOutScores
    from models.registry import Detector


@dataclass(frozen=True, eq=False)
class Joined:
    """Scores by member [n] of the clips that all of them have, with bona fide or not [n] bool."""

    clip: np.ndarray
    bonafide: np.ndarray
    scores: Mapping[str, np.ndarray]


def panel_table(detector: Detector) -> HeldOutScores | None:
    """The default model's held-out scores, or None where there are none or they can't be read."""
    from core.validation import FILE
    from models import registry

    for name in (registry.DEFAULT_MODEL, detector.name):  # the default may be a folder, which its name doesn't tell
        try:
            path = registry.model_folder(name) / FILE
            if path.parent.name == detector.name:
                return _read(path, path.stat().st_mtime_ns)
        except (OSError, LookupError):
            continue
    return None


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: int) -> HeldOutScores | None:
    from core.validation import HeldOutScores, ValidationUnreadable

    try:
        return HeldOutScores.read(path)
    except ValidationUnreadable:
        return None


def panel_scores(detector: Detector) -> dict[str, np.ndarray]:
    """Held-out scores of the panel's members by key; empty where there are none."""
    found = panel_table(detector)
    return {} if found is None else {k: v for k, v in found.others.items() if k.startswith(PANEL)}


def joined(detector: Detector, ours: Shipped | None) -> Joined | None:
    """Both tables, clip by clip; one alone where the other is missing, None where both are."""
    theirs = panel_table(detector)
    own = None
    if ours is not None:
        path = ours.folder / HELD_OUT
        own = _read(path, path.stat().st_mtime_ns)
    parts = []
    if own is not None:
        parts.append((own, {k: own.others[k] for k in (*NETWORKS, FINFOED) if k in own.others}))
    if theirs is not None:
        parts.append((theirs, {k: v for k, v in theirs.others.items() if k.startswith(PANEL)}))
    if not parts:
        return None
    return _join(parts)


def _join(parts: Sequence[tuple[HeldOutScores, Mapping[str, np.ndarray]]]) -> Joined:
    clips = parts[0][0].clip
    for table, _ in parts[1:]:
        clips = clips[np.isin(clips, table.clip)]
    scores: dict[str, np.ndarray] = {}
    for table, columns in parts:
        place = {c: i for i, c in enumerate(table.clip)}
        rows = np.array([place[c] for c in clips], int)
        scores |= {k: v[rows] for k, v in columns.items()}
        bonafide = table.bonafide[rows]
    known = np.isfinite(np.stack(list(scores.values()))).all(0)
    return Joined(clips[known], bonafide[known], {k: v[known] for k, v in scores.items()})


def right(scores: np.ndarray, bonafide: np.ndarray) -> np.ndarray:
    """Whether each score is on the right side of the threshold where both errors are equally frequent, bool [n]."""
    from core.det import eer

    return (scores > eer(scores[bonafide], scores[~bonafide])[1]) == bonafide


def error_matrix(found: Joined) -> tuple[tuple[str, ...], np.ndarray]:
    """Correlation of the members' errors: keys (M,), matrix (M, M), 1 on the diagonal."""
    from core.audit.complementarity import error_correlation

    keys = tuple(found.scores)
    correct = [right(found.scores[k], found.bonafide) for k in keys]
    matrix = np.array([[1.0 if i == j else error_correlation(a, b) for j, b in enumerate(correct)]
                       for i, a in enumerate(correct)])
    return keys, matrix


def cka_matrix(card: Mapping[str, Any]) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Linear CKA of the members' representations as measured, or None where the card has none."""
    given = card.get("cka")
    if not given:
        return None
    return tuple(given["names"]), np.array(given["matrix"], float)
