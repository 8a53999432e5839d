"""The library's map: a frozen picture of its segments in two dimensions, and a recording's place on it.

UMAP is fitted once per library and shipped as plain numbers, so that opening the page never fits and never loads
umap-learn. A recording is placed by its nearest library segments, weighted as UMAP weighs them (that is where UMAP's own
transform begins), so its place is deterministic and takes milliseconds. PCA beside it is exact and linear: its axes mean
something, its distances shrink but never tear.

Every placed point carries its trust: how many of its nearest in the full space are also nearest on the map.

Reference: McInnes, Healy, Melville 2018, arXiv 1802.03426 (UMAP); Venna and Kaski 2001 (trustworthiness).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.library import Library
from core.library.geometry import LibraryError

MAP_FILE = "map.safetensors"
NEIGHBOURS = 15
LOW_TRUST = 0.2  # below this share of shared neighbours a place says little
CHECKED = 30  # neighbours compared for the trust of a point
PARAMETERS: dict[str, Any] = {"n_neighbors": NEIGHBOURS, "min_dist": 0.1, "metric": "euclidean", "n_components": 2}


@dataclass(frozen=True, eq=False)
class Map:
    """Places of a library's segments, layer by layer. umap (L, n, 2), pca (L, n, 2) float32; axes (L, V, 2) and
    centre (L, V) of the PCA; trust (L, n): each segment's share of shared neighbours on the UMAP; about: its making.
    """

    umap: np.ndarray
    pca: np.ndarray
    axes: np.ndarray
    centre: np.ndarray
    trust: np.ndarray
    about: dict[str, Any]

    def places(self, kind: str) -> np.ndarray:
        """(L, n, 2) of ``umap`` or ``pca``."""
        return {"umap": self.umap, "pca": self.pca}[kind]


@dataclass(frozen=True, eq=False)
class Placed:
    """Where queries lie: xy (q, 2), and the trust of each place (q,), 0..1."""

    xy: np.ndarray
    trust: np.ndarray


def fit_map(
    library: Library,
    *,
    seed: int = 0,
    parameters: dict[str, Any] | None = None,
    on_progress: Callable[[float, str], Any] | None = None,
) -> Map:
    """Fit both pictures for every layer. Raises LibraryError without umap-learn or with too few segments."""
    try:
        import umap
    except ImportError as problem:
        raise LibraryError(
            "Fitting a map needs umap-learn; install it, or use the map that came with the library."
        ) from problem
    vectors, chosen = library.segments.vectors, PARAMETERS | (parameters or {})
    if len(vectors) < chosen["n_neighbors"] + 2:
        raise LibraryError(f"A map needs at least {chosen['n_neighbors'] + 2} segments, the library has {len(vectors)}.")
    parts, figures = [], []
    for layer in range(vectors.shape[1]):
        if on_progress is not None:
            on_progress(layer / vectors.shape[1], f"fitting layer {layer}")
        x = vectors[:, layer]
        xy = umap.UMAP(**chosen, random_state=seed, n_jobs=1, init="pca").fit_transform(x).astype(np.float32)
        centre, axes, share = principal_axes(x)
        flat = ((x - centre) @ axes).astype(np.float32)
        shared = shared_neighbours(x, xy, CHECKED)
        parts.append((xy, flat, axes, centre, shared.astype(np.float32)))
        figures.append(quality(x, xy) | {"pca": quality(x, flat), "pca_variance_share": round(share, 4), "layer": layer})
    about = {
        "snapshot": library.snapshot.id,
        "geometry_sha256": library.geometry.sha256,
        "seed": seed,
        "umap_learn": umap.__version__,
        "parameters": chosen,
        "layers": figures,
    }
    return Map(*(np.stack(part) for part in zip(*parts, strict=True)), about)


def principal_axes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(centre (V,), two principal axes (V, 2), their share of the variance) of x (n, V)."""
    centre = x.mean(0)
    _, singular, rows = np.linalg.svd((x - centre).astype(np.float64), full_matrices=False)
    rows = rows[:2] * np.where(rows[np.arange(2), np.abs(rows[:2]).argmax(1)] < 0, -1.0, 1.0)[:, None]
    share = float((singular[:2] ** 2).sum() / (singular**2).sum())
    return centre.astype(np.float32), rows.T.astype(np.float32), share


def place(found: Map, library: Library, vectors: np.ndarray, layer: int, kind: str = "umap") -> Placed:
    """Put unit vectors (q, V) of one layer on the map. The same vector gives the same place, in whatever company."""
    x, xy = library.segments.vectors[:, layer], found.places(kind)[layer]
    near = np.stack([np.argsort(distances(v, x), kind="stable")[:CHECKED] for v in vectors])
    if kind == "pca":
        own = np.stack([_linear(v, found.centre[layer], found.axes[layer]) for v in vectors])
    else:
        own = np.stack([_weighted(v, x, xy, rows[:NEIGHBOURS]) for v, rows in zip(vectors, near, strict=True)])
    trust = [
        overlap(rows, np.argsort(distances(p, xy), kind="stable")[:CHECKED]) for rows, p in zip(near, own, strict=True)
    ]
    return Placed(own, np.array(trust))


def _linear(v: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """v (V,) on the principal axes, (2,), by itself in double precision."""
    return ((v.astype(np.float64) - centre)[:, None] * axes).sum(0).astype(np.float32)


def _weighted(v: np.ndarray, x: np.ndarray, xy: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean place of the nearest segments by UMAP's weights exp(-(d - rho) / sigma); a library segment lands on itself."""
    d = distances(v, x[rows])
    if d[0] < 1e-4:
        return xy[rows[0]]
    weights = membership(d)
    return (weights[:, None] * xy[rows]).sum(0) / weights.sum()


def membership(d: np.ndarray) -> np.ndarray:
    """UMAP's local weights of ascending distances (k,): rho is the nearest, sigma makes the weights sum to log2 k."""
    gaps, low, high = np.maximum(0.0, d - d[0]), 0.0, 4.0 * max(float(d[-1]), 1e-6)
    target = np.log2(len(d))
    for _ in range(64):
        sigma = (low + high) / 2
        if np.exp(-gaps / max(sigma, 1e-12)).sum() > target:
            high = sigma
        else:
            low = sigma
    return np.exp(-gaps / max(sigma, 1e-12))


def distances(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Euclidean distances (n,) of v (V,) to rows of x (n, V), each row by itself in double precision."""
    return np.sqrt(np.square(x.astype(np.float64) - v.astype(np.float64)).sum(-1))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of a's members that are in b."""
    return len(np.intersect1d(a, b)) / max(1, len(a))


def nearest_others(x: np.ndarray, k: int) -> np.ndarray:
    """Rows (n, k) of each point's k nearest other points, x (n, d)."""
    x = x.astype(np.float32)
    square = np.square(x).sum(1)
    out = []
    for first in range(0, len(x), 1000):
        part = x[first : first + 1000]
        d = square[first : first + 1000, None] + square - 2 * part @ x.T
        d[np.arange(len(part)), np.arange(first, first + len(part))] = np.inf
        rows = np.argpartition(d, k, axis=1)[:, :k]
        out.append(np.take_along_axis(rows, np.argsort(np.take_along_axis(d, rows, 1), axis=1), 1))
    return np.concatenate(out)


def shared_neighbours(x: np.ndarray, xy: np.ndarray, k: int) -> np.ndarray:
    """For each point, the share of its k nearest in x (n, V) that are among its k nearest in xy (n, 2): (n,)."""
    k = min(k, len(x) - 2)
    return np.array([overlap(a, b) for a, b in zip(nearest_others(x, k), nearest_others(xy, k), strict=True)])


def trustworthiness(x: np.ndarray, xy: np.ndarray, k: int = NEIGHBOURS) -> float:
    """1 where no point has a neighbour on the map that isn't one in the full space; rank-weighted (Venna and Kaski)."""
    n = len(x)
    near, penalty = nearest_others(xy, k), 0.0
    for i in range(n):
        d = np.square(x - x[i]).sum(1)
        d[i] = -1.0
        rank = np.empty(n)
        rank[np.argsort(d, kind="stable")] = np.arange(n)
        penalty += np.maximum(0.0, rank[near[i]] - k).sum()
    return float(1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty)


def quality(x: np.ndarray, xy: np.ndarray, most: int = 4000) -> dict[str, float]:
    """Trustworthiness and mean share of preserved neighbours, on at most ``most`` evenly spaced points."""
    step = max(1, len(x) // most)
    x, xy = x[::step], xy[::step]
    k = min(NEIGHBOURS, len(x) // 2 - 1)
    return {
        "trustworthiness": round(trustworthiness(x, xy, k), 4),
        "neighbours_preserved": round(float(shared_neighbours(x, xy, min(CHECKED, len(x) - 2)).mean()), 4),
    }


def save_map(found: Map, path: Path) -> None:
    """Write a map as safetensors, arrays in fp16 or fp32, its making as metadata."""
    from safetensors.numpy import save_file

    arrays = {
        "umap": found.umap.astype(np.float32),
        "axes": found.axes,
        "centre": found.centre,
        "trust": found.trust.astype(np.float16),
    }
    part = path.with_name(path.name + ".part")
    save_file(
        {k: np.ascontiguousarray(v) for k, v in arrays.items()},
        str(part),
        metadata={"about": json.dumps(found.about, sort_keys=True)},
    )
    part.chmod(0o644)
    part.replace(path)


def load_map(library: Library) -> Map:
    """The map of a library's snapshot. Raises LibraryError where there is none, or it is of another snapshot."""
    path = library.folder / MAP_FILE
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0, library)


@lru_cache(maxsize=2)
def _load(path: Path, _stamp: int, library: Library) -> Map:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise LibraryError("This library has no map yet; fit one.")
    try:
        with safe_open(str(path), framework="numpy") as file:
            about = json.loads((file.metadata() or {})["about"])
            umap, axes, centre, trust = (file.get_tensor(n) for n in ("umap", "axes", "centre", "trust"))
    except (OSError, SafetensorError, KeyError, ValueError) as problem:
        raise LibraryError(f"{path} is damaged; restore it or fit the map again.") from problem
    x = library.segments.vectors
    if about.get("snapshot") != library.snapshot.id or umap.shape[:2] != (x.shape[1], len(x)):
        raise LibraryError("The map was fitted on another state of the library; fit it again.")
    pca = np.stack([(x[:, i] - centre[i]) @ axes[i] for i in range(x.shape[1])]).astype(np.float32)
    return Map(umap, pca, axes, centre, trust.astype(np.float32), about)
