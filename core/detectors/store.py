"""What the workbench keeps about detectors that users bring: in the user's data folder, never beside the weights.

    $EARWITNESS_HOME (or ~/.local/share/earwitness)/detectors/DIGEST/
        record.json              where the weights lie and what they are called here
        card.json                what the user added to, or put over, the card beside the weights
        polarity.json            the last check on known clips
        calibration.safetensors  how a score becomes a likelihood ratio
        measured.json            on what, and how well it did

DIGEST names the bytes of the weights and their configuration. Polarity and calibration also carry the digest of the
card's scoring fields and are not used with another card.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.calibrate import Calibration
from core.detectors.card import Card, parse_card, read_json
from core.errors import ModelUnavailable

_digests: dict[tuple, str] = {}


@dataclass(frozen=True)
class Record:
    """A detector that was opened here before."""

    name: str
    path: Path
    files_sha256: str


def home() -> Path:
    """The user's data folder; not created."""
    given = os.environ.get("EARWITNESS_HOME")
    return Path(given).expanduser() if given else Path.home() / ".local" / "share" / "earwitness"


def files_sha256(files: Iterable[Path]) -> str:
    """One digest over the names and bytes of files; each file is read once until it changes."""
    lines, files = [], sorted(files)
    for file in files:
        stat = file.stat()
        key = (str(file.resolve()), stat.st_size, stat.st_mtime_ns)
        if key not in _digests:
            with file.open("rb") as stream:
                _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{file.name if lines or file.suffix == '.json' else 'weights'} {_digests[key]}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def folder(digest: str) -> Path:
    """Where the files about one detector lie."""
    return home() / "detectors" / digest[:32]


def records() -> tuple[Record, ...]:
    """All detectors opened here before, by name; damaged records are left out."""
    found = []
    for file in sorted((home() / "detectors").glob("*/record.json")):
        try:
            data = read_json(file, "record")
            found.append(Record(str(data["name"]), Path(data["path"]), str(data["files_sha256"])))
        except (ModelUnavailable, KeyError, TypeError):
            continue
    return tuple(sorted(found, key=lambda r: (r.name, r.files_sha256)))


def remember(path: Path, digest: str) -> Record:
    """Keep where a detector lies, under a name of its own. Raises ModelUnavailable where nothing can be written."""
    from core.detectors import names

    path, known = path.resolve(), records()
    others = {r.name for r in known if r.files_sha256 != digest}
    others |= set(names()) - {r.name for r in known}  # a shipped detector's name stays its own
    plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.name.removesuffix(".safetensors"))
    name = plain or "detector"
    if name in others:
        name = f"{name}-{digest[:8]}"
    _write(folder(digest) / "record.json", {"name": name, "path": str(path), "files_sha256": digest})
    return Record(name, path, digest)


def forget(digest: str) -> None:
    """Remove everything that is kept about a detector; its own files stay as they are."""
    place = folder(digest)
    for name in ("record.json", "card.json", "polarity.json", "calibration.safetensors", "measured.json"):
        (place / name).unlink(missing_ok=True)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def read_card(digest: str) -> Card | None:
    """The user's own card for these files. Raises ModelUnavailable where it is damaged."""
    data = read_json(folder(digest) / "card.json", "The card in your data folder")
    return None if data is None else parse_card(data, "The card in your data folder")


def write_card(digest: str, card: Card) -> None:
    """Keep the user's own card for these files."""
    _write(folder(digest) / "card.json", card.to_json())


def read_checked(digest: str, name: str, scoring: str) -> dict[str, Any] | None:
    """polarity.json or measured.json, None where there is none for this card's scoring fields or it is damaged."""
    try:
        data = read_json(folder(digest) / name, name)
    except ModelUnavailable:
        return None
    return data if isinstance(data, dict) and data.get("scoring_sha256") == scoring else None


def write_checked(digest: str, name: str, scoring: str, data: Mapping[str, Any]) -> None:
    """Keep polarity.json or measured.json for this card's scoring fields."""
    _write(folder(digest) / name, {**data, "scoring_sha256": scoring})


def read_calibration(digest: str, scoring: str) -> tuple[Calibration, str] | None:
    """(calibration, sha256 of its file), None where there is none for this card. Raises ModelUnavailable."""
    from safetensors import SafetensorError, safe_open

    path = folder(digest) / "calibration.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(os.fspath(path), framework="np") as file:
            if (file.metadata() or {}).get("scoring_sha256") != scoring:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return Calibration.from_arrays(arrays), hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, SafetensorError) as problem:
        raise ModelUnavailable("The calibration of this detector is damaged; calibrate it again.") from problem


def write_calibration(digest: str, scoring: str, calibration: Calibration) -> Path:
    """Keep a calibration; returns its path. Raises ModelUnavailable where nothing can be written."""
    from safetensors.numpy import save

    path = folder(digest) / "calibration.safetensors"
    _replace(path, save(calibration.to_arrays(), metadata={"scoring_sha256": scoring}))
    return path


def drop_calibration(digest: str) -> None:
    """Remove a calibration, after which scores are raw again."""
    for name in ("calibration.safetensors", "measured.json"):
        (folder(digest) / name).unlink(missing_ok=True)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    _replace(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False).encode())


def _replace(path: Path, body: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(body)
        os.replace(stream.name, path)
    except OSError as problem:
        raise ModelUnavailable(f"Nothing can be written to {path.parent}; set EARWITNESS_HOME to a folder of "
                               "yours.") from problem
