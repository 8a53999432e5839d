"""What is known about a reference clip, and where lists of clips come from: a folder with a manifest, or a corpus.

A manifest is ``manifest.csv`` with the columns file and label (bonafide | spoof) at least; clip, system, family, speaker,
language, codec (or source_codec), partial, licence, source, origin (or source_path) are taken over where present. Rows at
fault are collected with file and line; the others go on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from core.library.geometry import LibraryError

LABELS = ("bonafide", "spoof")
REQUIRED = ("file", "label")
MOST_CHARS = 200  # of any one fact


@dataclass(frozen=True)
class Clip:
    """One reference clip with its provenance. ``audio``: where it can be heard on this machine, "" where it can't;
    ``origin``: where its publishers keep it.
    """

    sha256: str  # of the file's bytes
    name: str
    label: str  # bonafide | spoof
    system: str = ""
    family: str = ""  # human | tts | vc | vocoder | codec | ...
    speaker: str = ""
    language: str = ""
    codec: str = ""
    partial: str = ""  # which part is synthetic, where only a part is
    seconds: float = 0.0
    source: str = ""
    licence: str = ""
    origin: str = ""
    audio: str = ""

    @property
    def bonafide(self) -> bool:
        return self.label == "bonafide"

    @property
    def title(self) -> str:
        """Who or what made it, in a few words."""
        if self.bonafide:
            return self.speaker or "unnamed speaker"
        return self.system or self.family or "unnamed system"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Clip))


@dataclass(frozen=True)
class Wanted:
    """A clip that is to be added: its file and what is said about it."""

    path: Path
    facts: dict[str, str]


@dataclass(frozen=True)
class Refusal:
    """Something that was not added, and why, in one sentence that names it."""

    what: str
    reason: str


def read_source(folder: Path, layout: str | None, refused: list[Refusal]) -> Iterator[Wanted]:
    """Clips of a folder: by its manifest.csv, or as a corpus of ``core.corpora.LAYOUTS``; "auto" looks at the folder.

    Rows at fault are appended to ``refused``. Raises LibraryError where nothing can be read at all.
    """
    if not folder.is_dir():
        raise LibraryError(f"{folder} is not a folder; give one with a manifest.csv or a corpus.")
    if layout in (None, "auto", "manifest") and (folder / "manifest.csv").is_file():
        yield from read_manifest(folder / "manifest.csv", refused)
        return
    from core.corpora import detect_layout, read_corpus

    layout = detect_layout(folder) if layout in (None, "auto") else layout
    if layout is None or layout == "manifest":
        raise LibraryError(
            f"{folder} has no manifest.csv and isn't a corpus that is known here; name its layout or write "
            "a manifest with the columns file and label."
        )
    for item in read_corpus(layout, folder, lambda problem: refused.append(Refusal(str(folder), problem.message))):
        yield Wanted(
            item.path,
            {
                "name": item.clip,
                "label": item.label,
                "system": item.system,
                "family": item.family,
                "speaker": item.speaker,
                "language": item.language,
                "codec": item.codec,
                "licence": item.licence,
                "source": item.source,
                "partial": "; ".join(f"{a:g}-{b:g} s" for a, b in item.partial),
                "origin": item.clip,
            },
        )


def read_manifest(path: Path, refused: list[Refusal]) -> Iterator[Wanted]:
    """Rows of a manifest. Raises LibraryError for missing columns or an unreadable file."""
    root = path.parent.resolve()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise LibraryError(f"{path} lacks the column(s) {', '.join(missing)}; add them and try again.")
            for number, row in enumerate(reader, 2):
                wanted = _row(root, path, number, row, refused)
                if wanted is not None:
                    yield wanted
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise LibraryError(f"{path} can't be read as a table; save it as UTF-8 CSV and try again.") from problem


def _row(root: Path, path: Path, number: int, row: dict[str, Any], refused: list[Refusal]) -> Wanted | None:
    def refuse(reason: str) -> None:
        refused.append(Refusal(f"{path}, line {number}", reason))

    if None in row or None in row.values():
        return refuse("the number of columns is not that of the header")
    label = row["label"].strip().lower()
    if label not in LABELS:
        return refuse(f"label {row['label'][:40]!r} is neither bonafide nor spoof")
    file = root / row["file"]
    if not row["file"].strip() or "\0" in row["file"] or not file.resolve().is_relative_to(root):
        return refuse(f"{row['file'][:80]!r} is not a file inside the folder")
    given = {name: row.get(name) or "" for name in COLUMNS if name in row}
    given |= {
        "name": row.get("clip") or row["file"],
        "label": label,
        "codec": row.get("codec") or row.get("source_codec") or "",
        "origin": row.get("origin") or row.get("source_path") or "",
    }
    for name in ("sha256", "seconds", "audio"):
        given.pop(name, None)  # measured here, not believed
    return Wanted(file, given)


def as_clip(wanted: Wanted, sha256: str, seconds: float, audio: str) -> Clip:
    """The record of a clip that was read; overlong facts are cut, control characters dropped."""
    facts = {k: "".join(c for c in v if c.isprintable())[:MOST_CHARS] for k, v in wanted.facts.items()}
    return Clip(**{**facts, "sha256": sha256, "seconds": round(seconds, 3), "audio": audio})


def contradiction(label: str, family: str) -> bool:
    """Whether a label and a family can't both be right."""
    return bool(family) and (family == "human") != (label == "bonafide")
