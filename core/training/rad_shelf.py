"""What RAD's training retrieves from: windows on the library's map, who may answer whom, and the nearest.

Maps are fitted on a fold's training clips alone, their degraded copies included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.library.geometry import TAU, Geometry, fit_geometry, unit
from core.training.corpus import Clip
from core.training.rad_features import FINE, Windows

EXCLUDE = ("clip", "speaker", "source")


@dataclass(frozen=True, eq=False)
class Shelf:
    """Projected windows of one view. vectors (n, L, V), short (n, L, N, S), blocks (n,), clip (n,) clip numbers."""

    vectors: np.ndarray
    short: np.ndarray
    blocks: np.ndarray
    clip: np.ndarray

    def take(self, rows: np.ndarray) -> Shelf:
        return Shelf(self.vectors[rows], self.short[rows], self.blocks[rows], self.clip[rows])


@dataclass(frozen=True, eq=False)
class Shifts:
    """How far degraded copies of windows lie from their originals: difference (m, L, F), clip (m,) clip numbers."""

    difference: np.ndarray
    clip: np.ndarray


def shifts_of(clean: Windows, copies: Sequence[Windows], facts: Facts) -> Shifts:
    """Time averages of every original clip's copies minus those of the same windows of the clean view."""
    place = {(clip, number): i for i, (clip, number) in enumerate(zip(clean.clip, clean.number, strict=True))}
    parts, clip = [], []
    for copy in copies:
        kept = np.flatnonzero(facts.original[copy.clip])
        rows = [place[copy.clip[i], copy.number[i]] for i in kept]
        parts.append(copy.means[kept] - clean.means[rows])
        clip.append(copy.clip[kept])
    return Shifts(np.concatenate(parts), np.concatenate(clip))


def fit_to(
    clean: Windows, shifts: Shifts, facts: Facts, inside: np.ndarray, encoder: str = "", tau: int = TAU
) -> Geometry:
    """The map of the original clips that are ``inside`` (bool over clip numbers) and of nothing else."""
    rows = inside[clean.clip] & facts.original[clean.clip]
    moved = shifts.difference[inside[shifts.clip]]
    return fit_geometry(clean.means[rows], encoder, tau=tau, blocks=200 // tau, nuisance=moved)


def shelve(windows: Windows, geometry: Geometry) -> Shelf:
    """Project one view of the corpus, blocks of ten frames averaged to the geometry's."""
    factor = geometry.tau // FINE
    coarse, blocks = windows.coarse(factor)
    centred = windows.means - geometry.mean
    vectors = unit(np.einsum("nlf,lfv->nlv", centred, geometry.basis, optimize=True).astype(np.float32))
    short = np.zeros((*coarse.shape[:3], geometry.short), np.float16)
    for layer in range(geometry.n_layers):
        x = coarse[:, layer].astype(np.float32) - geometry.mean[layer]
        short[:, layer] = x @ geometry.basis[layer, :, : geometry.short]
    short[np.arange(short.shape[2]) >= blocks[:, None, None].repeat(geometry.n_layers, 1)] = 0
    return Shelf(vectors, short, blocks, windows.clip)


class Facts:
    """What retrieval may look at to exclude, as arrays over clip numbers."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        numbers = {c.clip: i for i, c in enumerate(clips)}
        self.bonafide = np.array([c.bonafide for c in clips])
        self.original = np.array([not c.copier for c in clips])
        self.parent = np.array([numbers.get(c.parent, i) for i, c in enumerate(clips)])
        self.source = np.unique([c.source for c in clips], return_inverse=True)[1]
        names = [c.speaker or f"?{i}" for i, c in enumerate(clips)]
        self.speaker = np.unique(names, return_inverse=True)[1]

    def barred(self, queries: np.ndarray, library: np.ndarray, exclude: str) -> np.ndarray:
        """(n, m) true where library clip j may not answer query i."""
        barred = self.parent[queries][:, None] == self.parent[library]
        if exclude in ("speaker", "source"):
            barred |= self.speaker[queries][:, None] == self.speaker[library]
        if exclude == "source":
            barred |= self.source[queries][:, None] == self.source[library]
        return barred


def nearest(
    queries: np.ndarray, library: np.ndarray, barred: np.ndarray | None, k: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Rows of the k nearest per layer, (n, k, L), by cosine of unit vectors (n, L, V), (m, L, V); with ``rng``, k at
    random instead. A row of -1 where fewer than k are allowed.
    """
    n, layers = queries.shape[:2]
    out = np.full((n, k, layers), -1)
    for layer in range(layers):
        scores = queries[:, layer] @ library[:, layer].T if rng is None else rng.random((n, len(library)))
        if barred is not None:
            scores = np.where(barred, -np.inf, scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        allowed = np.isfinite(np.take_along_axis(scores, best, 1))
        out[:, : best.shape[1], layer] = np.where(allowed, best, -1)
    return out


def gather(library: Shelf, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Short features of neighbours: rows (B, K, L) -> (B, K, L, N, S), blocks (B, K, L), valid (B, K)."""
    layers = np.arange(rows.shape[2])
    x = torch.from_numpy(library.short[rows, layers]).float()
    return x, torch.from_numpy(library.blocks[rows]), torch.from_numpy((rows >= 0).all(-1))
