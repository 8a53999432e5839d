"""Nearest known recordings, layer by layer, and what they say by themselves (the training-free score).

Search is exact by default: FAISS proposes by inner product, the proposals are scored again in double precision and sorted
by score and place, so the answer is that of brute force, bit by bit, whatever the batch. Approximate indexes are built on
demand only, above a size, and never used below a measured recall.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.library import Clip, Library, LibraryError, Segments, audio_path

K = 10  # neighbours shown
MOST_K = 50
SPARE = 24  # proposals beyond k, against rounding in single precision
LEAST_RECALL = 0.95  # of the ten nearest; below it an approximate index is refused
APPROXIMATE_FROM = 200_000  # segments


@dataclass(frozen=True)
class Neighbour:
    """One retrieved clip: its rank from 1, its cosine with the query, and its best matching segment."""

    layer: int
    rank: int
    cosine: float
    segment: int  # row in the collection
    clip: Clip
    start_s: float
    stop_s: float

    def to_dict(self) -> dict[str, Any]:
        facts = {k: v for k, v in self.clip.to_dict().items() if k != "audio" and v != ""}
        return {
            "layer": self.layer,
            "rank": self.rank,
            "cosine": round(self.cosine, 6),
            "start_s": self.start_s,
            "stop_s": self.stop_s,
            "playable": audio_path(self.clip) is not None,
            **facts,
        }


class LayerIndex:
    """One layer's FAISS index over unit vectors (n, V). kind: exact | ivf | hnsw; ``recall`` at ten, measured."""

    def __init__(self, vectors: np.ndarray, kind: str = "exact", *, least_recall: float = LEAST_RECALL) -> None:
        import faiss

        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self.kind, self.recall = kind, 1.0
        n, d = self.vectors.shape
        if kind == "exact":
            self.index = faiss.IndexFlatIP(d)
        elif kind == "ivf":
            cells = max(1, int(4 * np.sqrt(n)))
            self.index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, faiss.METRIC_INNER_PRODUCT)
            self.index.train(self.vectors)
            self.index.nprobe = max(1, cells // 8)
        elif kind == "hnsw":
            self.index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efSearch = 128
        else:
            raise ValueError(f"kind must be exact, ivf or hnsw, not {kind!r}")
        self.index.add(self.vectors)
        if kind != "exact":
            self.recall = self._measured_recall()
            if self.recall < least_recall:
                raise LibraryError(
                    f"The {kind} index finds {self.recall:.0%} of the ten nearest, at least "
                    f"{least_recall:.0%} are needed; use the exact index."
                )

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Queries (q, V) -> cosines float64 (q, k), rows (q, k), best first; -inf and -1 where fewer are allowed.

        allowed : bool (n,)
        """
        import faiss

        queries = np.ascontiguousarray(queries, np.float32)
        parameters = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
            kind = {
                "exact": faiss.SearchParameters,
                "ivf": faiss.SearchParametersIVF,
                "hnsw": faiss.SearchParametersHNSW,
            }[self.kind]
            parameters = kind(sel=selector)
            if self.kind == "ivf":
                parameters.nprobe = self.index.nprobe
        n = min(len(self.vectors), k + SPARE)
        _, rows = self.index.search(queries, n, params=parameters)
        out = np.full((len(queries), k), -np.inf), np.full((len(queries), k), -1)
        for i, found in enumerate(rows):
            found = np.sort(found[found >= 0])
            scores = cosines(queries[i], self.vectors[found])
            best = np.argsort(-scores, kind="stable")[:k]
            out[0][i, : len(best)], out[1][i, : len(best)] = scores[best], found[best]
        return out

    def _measured_recall(self, n: int = 200) -> float:
        rows = np.random.default_rng(0).choice(len(self.vectors), min(n, len(self.vectors)), replace=False)
        _, found = self.index.search(self.vectors[rows], 10)
        exact = np.argsort(-(self.vectors[rows] @ self.vectors.T), axis=1)[:, :10]
        return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]))


def cosines(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inner products (V,), (n, V) -> float64 (n,), each row by itself in double precision."""
    return (vectors.astype(np.float64) * query.astype(np.float64)).sum(-1)


class Searcher:
    """A library's segments with one index per layer, built when first asked for. Safe from several threads."""

    def __init__(self, segments: Segments, kind: str = "exact") -> None:
        self.segments, self.kind = segments, kind
        self._indexes: dict[int, LayerIndex] = {}
        self._lock = threading.Lock()

    def index(self, layer: int) -> LayerIndex:
        with self._lock:
            if layer not in self._indexes:
                self._indexes[layer] = LayerIndex(self.segments.vectors[:, layer], self.kind)
            return self._indexes[layer]

    @cached_property
    def bonafide(self) -> np.ndarray:
        """Whether each segment is bona fide, (n,)."""
        return np.array([c.bonafide for c in self.segments.clips])[self.segments.owner]

    @cached_property
    def digests(self) -> np.ndarray:
        """The clip's digest of each segment, (n,)."""
        return np.array([c.sha256 for c in self.segments.clips])[self.segments.owner]

    def recalls(self) -> dict[int, float]:
        """Measured recall of the ten nearest, of every layer's index that is in use; 1 for exact ones."""
        with self._lock:
            return {layer: index.recall for layer, index in sorted(self._indexes.items())}

    def allowed(self, *, without: Collection[str] = (), where: Callable[[Clip], bool] | None = None) -> np.ndarray:
        """Mask (n,) of the segments that may answer: not of the digests ``without``, and only clips ``where`` holds."""
        clips = self.segments.clips
        fine = np.array([c.sha256 not in without and (where is None or where(c)) for c in clips], bool)
        return fine[self.segments.owner]

    def neighbours(
        self, query: np.ndarray, k: int = K, *, allowed: np.ndarray | None = None, layers: Sequence[int] | None = None
    ) -> list[list[Neighbour]]:
        """The k nearest clips of each layer to one query (L, V); of a clip's segments, the best counts.

        One list per layer. Raises LibraryError for a k that can't be.
        """
        if not 1 <= k <= MOST_K:
            raise LibraryError(f"The number of neighbours must lie between 1 and {MOST_K}.")
        wanted = range(query.shape[0]) if layers is None else layers
        return [self._clips(layer, query[layer], k, allowed) for layer in wanted]

    def _clips(self, layer: int, query: np.ndarray, k: int, allowed: np.ndarray | None) -> list[Neighbour]:
        s, depth = self.segments, 4 * k
        while True:
            cosine, rows = (x[0] for x in self.index(layer).search(query[None], min(depth, len(s)), allowed))
            rows, cosine = rows[rows >= 0], cosine[rows >= 0]
            _, first = np.unique(s.owner[rows], return_index=True)
            if len(first) >= k or depth >= len(s):
                break
            depth *= 4
        best = np.sort(first)[:k]
        return [
            Neighbour(
                layer,
                rank,
                float(cosine[i]),
                int(rows[i]),
                s.clips[s.owner[rows[i]]],
                s.samples[rows[i], 0] / 16_000,
                s.samples[rows[i], 1] / 16_000,
            )
            for rank, i in enumerate(best, 1)
        ]

    def rows(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Rows of the k nearest segments per layer for many queries (q, L, V) -> (q, k, L); -1 where there are fewer."""
        found = [self.index(layer).search(queries[:, layer], k, allowed)[1] for layer in range(queries.shape[1])]
        return np.stack(found, axis=-1)

    def knn_scores(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """The training-free score of each query (q, L, V): mean cosine with its k nearest bona fide segments minus that
        with its k nearest spoofed ones, mean over layers. Higher for bona fide; NaN where a class has no segment.
        """
        allowed = np.ones(len(self.segments), bool) if allowed is None else allowed
        total = np.zeros(len(queries))
        for sign, mask in ((1.0, allowed & self.bonafide), (-1.0, allowed & ~self.bonafide)):
            for layer in range(queries.shape[1]):
                cosine, _ = self.index(layer).search(queries[:, layer], k, mask)
                cosine = np.where(np.isfinite(cosine), cosine, np.nan)
                total += sign * (np.nanmean(cosine, axis=1) if mask.any() else np.nan) / queries.shape[1]
        return total


_searchers: dict[str, Searcher] = {}
_lock = threading.Lock()


def searcher(library: Library, kind: str = "exact") -> Searcher:
    """The searcher of a library's snapshot, made once. Raises LibraryError for an approximate one of a small library."""
    if kind != "exact" and len(library.segments) < APPROXIMATE_FROM:
        raise LibraryError(
            f"An approximate index is for {APPROXIMATE_FROM} segments or more, this library has {len(library.segments)}; "
            "use the exact one."
        )
    key = f"{library.folder.resolve()} {library.snapshot.id} {kind}"
    with _lock:
        if key not in _searchers:
            while len(_searchers) >= 3:
                _searchers.pop(next(iter(_searchers)))
            _searchers[key] = Searcher(library.segments, kind)
        return _searchers[key]
