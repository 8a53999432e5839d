"""The reference library: known bona fide and known spoofed recordings as vectors, short features and facts.

``open_library()`` gives the shipped default. Files in ``store``, the frozen map in ``geometry``, filling in ``build``,
checking and exporting in ``upkeep``; searching is ``core.retrieve``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.library.geometry import Geometry, LibraryError, tags
from core.library.records import Clip
from core.library.store import DATABASE, Snapshot, Store

__all__ = ["DEFAULT", "Clip", "Library", "LibraryError", "Segments", "audio_path", "forget_libraries", "open_library"]

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = Path(__file__).with_name("default")


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of some clips, as arrays in one order.

    clips: the clips; owner (n,): which of them a segment is part of; samples (n, 2): its stretch; blocks (n,): filled
    blocks; vectors float32 (n, L, V), of unit length; short: rows of short features, by :meth:`features`.
    """

    clips: tuple[Clip, ...]
    owner: np.ndarray
    samples: np.ndarray
    blocks: np.ndarray
    vectors: np.ndarray
    stores: tuple[np.ndarray, ...]  # memory maps or arrays (m, L, N, S)
    place: np.ndarray  # (n, 2): which store, which row in it

    def __len__(self) -> int:
        return len(self.owner)

    def features(self, rows: np.ndarray, layer: int) -> np.ndarray:
        """Short features of one layer: rows (...,) -> float32 (..., N, S)."""
        flat = np.asarray(rows).ravel()
        parts = [self.stores[store][row, layer] for store, row in self.place[flat]]
        return np.stack(parts).astype(np.float32).reshape(*np.shape(rows), *parts[0].shape)


class Library:
    """One published snapshot of a library, ready to be searched. Immutable."""

    def __init__(self, folder: Path, snapshot: str | None = None) -> None:
        self.folder = folder
        self.store = Store.open(folder)
        self.geometry: Geometry = self.store.geometry
        self.snapshot: Snapshot = self.store.snapshot(snapshot)

    @cached_property
    def segments(self) -> Segments:
        """Every segment of the snapshot. Raises LibraryError naming a file that is missing or cut short."""
        entries = self.store.clips(self.snapshot)
        numbers = {number: i for i, (number, _, _) in enumerate(entries)}
        shards = self.store.shards()
        used = sorted({shard for _, _, shard in entries})
        arrays = {name: self.store.arrays(name, shards[name][0]) for name in used}
        rows = np.array(
            [
                r
                for r in self.store.rows("SELECT clip, row, start, stop, blocks FROM segments ORDER BY clip, row")
                if r[0] in numbers
            ]
        ).reshape(-1, 5)
        owner = np.array([numbers[c] for c in rows[:, 0]], dtype=np.int64)
        shard = np.array([used.index(s) for _, _, s in entries])[owner]
        vectors = np.empty((len(rows), self.geometry.n_layers, self.geometry.basis.shape[-1]), np.float32)
        for i, name in enumerate(used):
            vectors[shard == i] = arrays[name][0][rows[shard == i, 1]]
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)  # fp16 rounded them
        return Segments(
            tuple(clip for _, clip, _ in entries),
            owner,
            rows[:, 2:4],
            rows[:, 4],
            vectors,
            tuple(arrays[name][1] for name in used),
            np.stack([shard, rows[:, 1]], axis=1),
        )

    @property
    def clips(self) -> tuple[Clip, ...]:
        return self.segments.clips

    def quote(self) -> dict[str, Any]:
        """What every result that used this library says of it."""
        s = self.snapshot
        return {"snapshot": s.id, "created": s.created, "clips": s.clips, "segments": s.segments, **tags(self.geometry)}


_open: dict[tuple, Library] = {}
_lock = threading.Lock()


def open_library(folder: Path | str | None = None, snapshot: str | None = None) -> Library:
    """A library, the shipped one by default; opened once per state on disk. Raises LibraryError."""
    folder = Path(folder) if folder is not None else DEFAULT
    database = folder / DATABASE
    stamp = database.stat().st_mtime_ns if database.is_file() else 0
    key = (folder.resolve(), stamp, snapshot)
    with _lock:
        if key not in _open:
            while len(_open) >= 3:
                _open.pop(next(iter(_open)))
            _open[key] = Library(folder, snapshot)
        return _open[key]


def forget_libraries() -> None:
    """Drop opened libraries (tests)."""
    with _lock:
        _open.clear()


def audio_path(clip: Clip) -> Path | None:
    """Where a clip can be heard on this machine, or None. The bundled ones lie inside the project."""
    if not clip.audio:
        return None
    path = Path(clip.audio) if Path(clip.audio).is_absolute() else PROJECT / clip.audio
    return path if path.is_file() else None


def appended(
    base: Segments,
    clips: Sequence[Clip],
    samples: Sequence[np.ndarray],
    vectors: Sequence[np.ndarray],
    short: Sequence[np.ndarray],
    blocks: Sequence[np.ndarray],
) -> Segments:
    """The segments of ``base`` and, after them, those of more clips (a case's own references)."""
    if not clips:
        return base
    counts = [len(v) for v in vectors]
    owner = np.repeat(np.arange(len(clips)), counts) + len(base.clips)
    store = np.concatenate(short).astype(np.float16)
    place = np.stack([np.full(len(store), len(base.stores)), np.arange(len(store))], axis=1)
    return Segments(
        (*base.clips, *clips),
        np.concatenate([base.owner, owner]),
        np.concatenate([base.samples, *samples]),
        np.concatenate([base.blocks, *blocks]),
        np.concatenate([base.vectors, *vectors]),
        (*base.stores, store),
        np.concatenate([base.place, place]),
    )
