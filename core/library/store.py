"""A library on disk: facts in SQLite, numbers in immutable shards, snapshots that stay readable.

    library.sqlite               clips, segments, shards, snapshots
    geometry.safetensors         the frozen map (core.library.geometry)
    vectors-<digest>.npy         fp16 (n, L, V), one shard
    short-<digest>.npy           fp16 (n, L, N, S), the same rows, read as a memory map

Shards are written under another name, renamed, and only then entered; clips become visible when a snapshot is published,
in one transaction. An interrupted build therefore leaves the earlier snapshot as it was, and the finished part waits for
the next build. A snapshot's id is a digest of what it holds, not of how it came about.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.library.geometry import Geometry, LibraryError
from core.library.records import COLUMNS, Clip

FORMAT = 1
DATABASE = "library.sqlite"
GEOMETRY = "geometry.safetensors"

_FACTS = ", ".join(f"{name} {'REAL' if name == 'seconds' else 'TEXT'} NOT NULL" for name in COLUMNS)
_TABLES = f"""
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE shards (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, vectors_sha256 TEXT NOT NULL,
  short_sha256 TEXT NOT NULL);
CREATE TABLE clips (id INTEGER PRIMARY KEY, {_FACTS},
  shard TEXT NOT NULL REFERENCES shards(name), added INTEGER, removed INTEGER);
CREATE INDEX by_digest ON clips (sha256);
CREATE TABLE segments (clip INTEGER NOT NULL REFERENCES clips(id), row INTEGER NOT NULL, start INTEGER NOT NULL,
  stop INTEGER NOT NULL, blocks INTEGER NOT NULL);
CREATE INDEX by_clip ON segments (clip);
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, created TEXT NOT NULL, clips INTEGER NOT NULL,
  segments INTEGER NOT NULL, note TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Snapshot:
    """One published state of a library."""

    seq: int
    id: str
    created: str
    clips: int
    segments: int
    note: str


@dataclass(frozen=True, eq=False)
class Measurement:
    """A clip with its n segments, ready to be written: samples (n, 2), vectors (n, L, V), short (n, L, N, S), blocks."""

    clip: Clip
    samples: np.ndarray
    vectors: np.ndarray
    short: np.ndarray
    blocks: np.ndarray


class Store:
    """The files of one library. Reading needs no write permission; one writer at a time."""

    def __init__(self, folder: Path, geometry: Geometry) -> None:
        self.folder, self.geometry = folder, geometry
        # where it may, SQLite undoes what a killed writer left behind, for which it has to write
        own = os.access(folder, os.W_OK) and os.access(folder / DATABASE, os.W_OK)
        self._uri = f"{(folder / DATABASE).resolve().as_uri()}?mode={'rw' if own else 'ro'}"

    # ---- making and opening

    @classmethod
    def create(cls, folder: Path, geometry: Geometry) -> Store:
        """An empty library. Raises LibraryError where there is one already."""
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / DATABASE).exists():
            raise LibraryError(f"There is a library in {folder} already; add to it or choose another folder.")
        _written(folder / GEOMETRY, geometry.save)
        with closing(sqlite3.connect(folder / f"{DATABASE}.part")) as database:
            database.executescript(_TABLES)
            about = {"format": str(FORMAT), "geometry_sha256": geometry.sha256, "encoder_sha256": geometry.encoder_sha256}
            database.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            database.commit()
        os.replace(folder / f"{DATABASE}.part", folder / DATABASE)
        return cls(folder, geometry)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Raises LibraryError naming the file that is missing, damaged or does not belong."""
        if not (folder / DATABASE).is_file():
            raise LibraryError(f"There is no library in {folder}; build one with `python -m core library build`.")
        store = cls(folder, Geometry.load(folder / GEOMETRY))
        about = store.about()
        if about.get("format") != str(FORMAT):
            raise LibraryError(f"{folder / DATABASE} is of another format ({about.get('format')}); build it anew.")
        if about.get("geometry_sha256") != store.geometry.sha256:
            raise LibraryError(f"{folder / GEOMETRY} is not the map that this library was built with; restore it.")
        return store

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True, timeout=30)

    def rows(self, query: str, values: Sequence = ()) -> list[tuple]:
        """A query's rows. Raises LibraryError where the database is damaged or locked."""
        try:
            with closing(self.connect()) as database:
                return database.execute(query, values).fetchall()
        except sqlite3.Error as problem:
            raise LibraryError(
                f"{self.folder / DATABASE} can't be read ({problem}); restore it or build anew."
            ) from problem

    def about(self) -> dict[str, str]:
        return dict(self.rows("SELECT key, value FROM about"))

    # ---- snapshots

    def snapshots(self) -> list[Snapshot]:
        """All published states, oldest first."""
        return [Snapshot(*row) for row in self.rows("SELECT * FROM snapshots ORDER BY seq")]

    def snapshot(self, name: str | None = None) -> Snapshot:
        """The newest state, or the one whose id begins with ``name``. Raises LibraryError where there is none."""
        every = self.snapshots()
        found = [s for s in every if name is None or s.id.startswith(name)]
        if not every:
            raise LibraryError(
                f"The library in {self.folder} is not finished ({self.waiting()} clips wait); run its build again."
            )
        if not found:
            raise LibraryError(f"The library in {self.folder} has no snapshot {name}; `library list` names those it has.")
        return found[-1]

    def clips(self, snapshot: Snapshot) -> list[tuple[int, Clip, str]]:
        """(number, clip, shard) of a snapshot, in the order of adding."""
        rows = self.rows(
            f"SELECT id, shard, {', '.join(COLUMNS)} FROM clips WHERE added <= ? AND (removed IS NULL OR "
            "removed > ?) ORDER BY id",
            (snapshot.seq, snapshot.seq),
        )
        return [(row[0], Clip(*row[2:]), row[1]) for row in rows]

    def known(self) -> dict[str, str]:
        """Label by digest of every clip that is in the newest state or waits for the next one."""
        return dict(self.rows("SELECT sha256, label FROM clips WHERE removed IS NULL"))

    def waiting(self) -> int:
        """Clips of an unfinished build."""
        return self.rows("SELECT COUNT(*) FROM clips WHERE added IS NULL")[0][0]

    # ---- writing

    def write(self, batch: Sequence[Measurement]) -> None:
        """Put a batch on disk, unpublished. Raises LibraryError where the disk is full; nothing is then entered."""
        vectors = np.concatenate([m.vectors for m in batch]).astype(np.float16)
        short = np.concatenate([m.short for m in batch]).astype(np.float16)
        name = hashlib.sha256(vectors.tobytes() + "".join(m.clip.sha256 for m in batch).encode()).hexdigest()[:16]
        digests = [
            _write_array(self.folder / f"{kind}-{name}.npy", array)
            for kind, array in (("vectors", vectors), ("short", short))
        ]
        try:
            with closing(self.connect()) as database, database:
                database.execute("INSERT OR IGNORE INTO shards VALUES (?, ?, ?, ?)", (name, len(vectors), *digests))
                row = 0
                for m in batch:
                    row = _enter(database, m, name, row)
        except sqlite3.Error as problem:
            raise LibraryError(
                f"{self.folder / DATABASE} can't be written ({problem}); free some space and run the same "
                "command again: what is finished is kept."
            ) from problem

    def publish(self, note: str = "", *, remove: Iterable[str] = ()) -> Snapshot:
        """Make everything that waits visible, and the given digests invisible, at once; no change, no new snapshot."""
        try:
            with closing(self.connect()) as database, database:
                database.execute("BEGIN IMMEDIATE")
                last = database.execute("SELECT MAX(seq) FROM snapshots").fetchone()[0] or 0
                changed = database.execute("UPDATE clips SET added = ? WHERE added IS NULL", (last + 1,)).rowcount
                for digest in remove:
                    changed += database.execute(
                        "UPDATE clips SET removed = ? WHERE sha256 = ? AND removed IS NULL", (last + 1, digest)
                    ).rowcount
                if changed or not last:
                    self._enter_snapshot(database, last + 1, note)
        except sqlite3.Error as problem:
            raise LibraryError(
                f"{self.folder / DATABASE} can't be written ({problem}); the earlier state is unharmed."
            ) from problem
        return self.snapshot()

    def _enter_snapshot(self, database: sqlite3.Connection, seq: int, note: str) -> None:
        facts = ", ".join(c for c in COLUMNS if c != "audio")
        rows = database.execute(f"SELECT {facts} FROM clips WHERE added <= ? AND removed IS NULL ORDER BY sha256", (seq,))
        h, n = hashlib.sha256(self.geometry.sha256.encode()), 0
        for n, row in enumerate(rows, 1):  # noqa: B007 - the count is wanted
            h.update(json.dumps(row, ensure_ascii=True).encode())
        segments = database.execute(
            "SELECT COUNT(*) FROM segments JOIN clips ON clips.id = clip WHERE added <= ? AND removed IS NULL", (seq,)
        ).fetchone()[0]
        created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        database.execute(
            "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", (seq, h.hexdigest(), created, n, segments, note)
        )

    # ---- numbers

    def arrays(self, name: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """A shard's vectors and short features as memory maps. Raises LibraryError naming a file that is cut short."""
        return tuple(_open_array(self.folder / f"{kind}-{name}.npy", rows) for kind in ("vectors", "short"))

    def shards(self) -> dict[str, tuple[int, str, str]]:
        """Rows and digests of every shard by name."""
        return {row[0]: row[1:] for row in self.rows("SELECT * FROM shards")}


def _enter(database: sqlite3.Connection, m: Measurement, shard: str, row: int) -> int:
    """Enter one clip and its segments; returns the next free row of the shard."""
    marks = ", ".join("?" * len(COLUMNS))
    values = [getattr(m.clip, name) for name in COLUMNS]
    clip = database.execute(
        f"INSERT INTO clips ({', '.join(COLUMNS)}, shard) VALUES ({marks}, ?)", (*values, shard)
    ).lastrowid
    rows = [
        (clip, row + i, int(a), int(b), int(n)) for i, ((a, b), n) in enumerate(zip(m.samples, m.blocks, strict=True))
    ]
    database.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", rows)
    return row + len(rows)


def _write_array(path: Path, array: np.ndarray) -> str:
    """Write an array under its final name only when it is complete; returns the file's sha256."""

    def save(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())

    _written(path, save)
    return file_digest(path)


def _written(path: Path, save) -> None:
    part = path.with_name(path.name + ".part")
    try:
        save(part)
        part.chmod(0o644)
        os.replace(part, path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise LibraryError(
            f"{path} can't be written ({problem.strerror or problem}); free some space and run the same "
            "command again: what is finished is kept."
        ) from problem


def _open_array(path: Path, rows: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise LibraryError(f"{path} is missing or cut short; restore it or build the library anew.") from problem
    if len(array) != rows:
        raise LibraryError(f"{path} has {len(array)} rows where {rows} were entered; restore it or build anew.")
    return array


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
