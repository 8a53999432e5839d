"""Keeping a library in order: remove, verify, export."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.library import Library
from core.library.geometry import LibraryError
from core.library.records import COLUMNS
from core.library.store import GEOMETRY, Snapshot, Store, file_digest


def remove(folder: Path, digests: Collection[str], note: str = "") -> Snapshot:
    """Take clips out of the newest snapshot, by (the beginning of) their sha256. Earlier snapshots keep them.

    Raises LibraryError for a digest that is unknown or stands for several clips; nothing is then removed.
    """
    store = Store.open(folder)
    known, chosen = [clip.sha256 for _, clip, _ in store.clips(store.snapshot())], []
    for wanted in digests:
        found = [digest for digest in known if digest.startswith(wanted)]
        if len(wanted) < 6 or len(found) != 1:
            raise LibraryError(
                f"{wanted!r} stands for {len(found)} clips of the library in {folder}; give at least six "
                "digits of the sha256 of one."
            )
        chosen += found
    return store.publish(note, remove=chosen)


@dataclass(frozen=True)
class Fault:
    """Something wrong with a library: the file, and what is wrong in one sentence."""

    file: str
    message: str


def verify(folder: Path, encoder_sha256: str | None = None) -> list[Fault]:
    """Everything that is wrong with the newest snapshot's files: empty for a sound library.

    Raises LibraryError where the library can't be opened at all.
    """
    store, faults = Store.open(folder), []
    snapshot = store.snapshot()
    if encoder_sha256 is not None and store.geometry.encoder_sha256 != encoder_sha256:
        faults.append(
            Fault(
                GEOMETRY,
                f"made with the encoder {store.geometry.encoder_sha256[:12]}, the detector has {encoder_sha256[:12]}",
            )
        )
    used = {shard for _, _, shard in store.clips(snapshot)}
    for name, (rows, *digests) in store.shards().items():
        for kind, digest in zip(("vectors", "short"), digests, strict=True):
            path = folder / f"{kind}-{name}.npy"
            problem = _shard_problem(store, path, rows, digest)
            if problem:
                faults.append(
                    Fault(path.name, problem + ("" if name in used else " (no clip of this snapshot is in it)"))
                )
    return faults


def _shard_problem(store: Store, path: Path, rows: int, digest: str) -> str:
    if not path.is_file():
        return "missing"
    if file_digest(path) != digest:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return "cut short or not an array"
        return "changed since it was written" if len(array) == rows else f"{len(array)} rows where {rows} were entered"
    return ""


def export(library: Library, into: Path, *, numbers: bool = False) -> list[Path]:
    """Write a snapshot's facts as clips.csv and snapshot.json into a new folder, with ``numbers`` also its arrays.

    Raises LibraryError where the folder has files already.
    """
    if into.exists() and any(into.iterdir()):
        raise LibraryError(f"{into} is not empty; give a new folder.")
    into.mkdir(parents=True, exist_ok=True)
    table, about = into / "clips.csv", into / "snapshot.json"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([_plain(getattr(clip, name)) for name in COLUMNS] for clip in library.clips)
    about.write_text(json.dumps(library.quote(), indent=1) + "\n", encoding="utf-8")
    written = [table, about]
    if numbers:
        written += _numbers(library, into)
    return written


def _numbers(library: Library, into: Path) -> list[Path]:
    s = library.segments
    np.save(into / "vectors.npy", s.vectors.astype(np.float16))
    np.save(into / "segments.npy", np.column_stack([s.owner, s.samples, s.blocks]))
    shutil.copyfile(library.folder / GEOMETRY, into / GEOMETRY)
    return [into / name for name in ("vectors.npy", "segments.npy", GEOMETRY)]


def _plain(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return "'" + text if text[:1] in "=+-@\t\r" else text


def counts(
    library: Library, names: Sequence[str] = ("label", "family", "system", "speaker", "language", "source", "licence")
) -> dict[str, dict[str, int]]:
    """How many clips there are of each value of some facts, most first."""
    found: dict[str, dict[str, int]] = {}
    for name in names:
        values = [getattr(clip, name) for clip in library.clips]
        tally = {value: values.count(value) for value in set(values)}
        found[name] = dict(sorted(tally.items(), key=lambda item: (-item[1], item[0])))
    return found
