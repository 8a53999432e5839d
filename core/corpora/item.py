"""One clip of a published corpus, and the careful reading of the protocol files that describe it.

Protocols are other people's files: every row is checked, a wrong one is named with its file and line, and a path may
not lead out of the corpus. Audio is never opened here; a file that is missing is still listed, see :func:`missing_audio`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from core.errors import EarwitnessError

Label = Literal["bonafide", "spoof"]
AUDIO_SUFFIXES = (".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a")


class CorpusFormatError(EarwitnessError):
    """A corpus folder or protocol is not in the format it should be in; the message names file and line."""

    code = "corpus-format"


Report = Callable[[CorpusFormatError], None]


@dataclass(frozen=True)
class CorpusItem:
    """One clip as its corpus describes it.

    path: where the audio should be (it may be missing); clip: its name, unique within the corpus; label: bonafide or
    spoof; system: the attack or generator, ``recording`` for real speech; family: human, tts, vc, vocoder, codec, replay
    or hybrid; codec: the channel it went through as the corpus names it, "" for none; split: the corpus' own part;
    licence: as its publishers state it; source: the corpus' title; partial: spoofed stretches (start_s, stop_s) of a
    clip that is spoofed in part, where known.
    """

    path: Path
    clip: str
    label: Label
    system: str
    family: str
    speaker: str = ""
    language: str = ""
    codec: str = ""
    split: str = ""
    licence: str = ""
    source: str = ""
    partial: tuple[tuple[float, float], ...] = ()

    @property
    def bonafide(self) -> bool:
        return self.label == "bonafide"


def stop(error: CorpusFormatError) -> None:
    """The default answer to a wrong row: raise."""
    raise error


def label_of(word: str) -> Label:
    """bonafide or spoof from what corpora call them. Raises ValueError."""
    plain = word.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    if plain in ("bonafide", "real", "genuine"):
        return "bonafide"
    if plain in ("spoof", "fake", "spoofed"):
        return "spoof"
    raise ValueError(f"label {word!r} is neither bona fide nor spoof")


def dash(word: str) -> str:
    """"" for the dash that protocols write for nothing."""
    return "" if word == "-" else word


def safe_name(word: str) -> str:
    """A relative path inside the corpus. Raises ValueError for one that leads out of it."""
    path = PurePosixPath(word.replace("\\", "/"))
    if not word.strip() or path.is_absolute() or ".." in path.parts or "\0" in word or ":" in path.parts[0]:
        raise ValueError(f"{word!r} is not a file name inside the corpus")
    return str(path)


def lines(path: Path, widths: Sequence[int], convert: Callable[[list[str]], CorpusItem | None],
          report: Report) -> Iterator[CorpusItem]:
    """Items from a white-space separated protocol without a header.

    widths : allowed numbers of columns. convert : from columns to an item (None to leave a row out on purpose); its
    ValueError becomes a CorpusFormatError with file and line, given to ``report``.
    """
    for number, text in enumerate(_text(path, report), 1):
        parts = text.split()
        if not parts:
            continue
        if len(parts) not in widths:
            wanted = " or ".join(map(str, widths))
            report(CorpusFormatError(f"{path}, line {number}: {len(parts)} columns where {wanted} were expected."))
            continue
        yield from _converted(path, number, parts, convert, report)


def table(path: Path, required: Sequence[str], convert: Callable[[dict[str, str]], CorpusItem | None], report: Report,
          *, delimiter: str = ",") -> Iterator[CorpusItem]:
    """Items from a table with a header. A missing column is an error of the file, a bad value one of its line."""
    reader = csv.reader(_text(path, report), delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter != "," else
                        csv.QUOTE_MINIMAL)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in required if name not in header]
        if missing:
            report(CorpusFormatError(f"{path}, line 1: the column(s) {', '.join(missing)} are missing."))
            return
        for parts in reader:
            if not parts:
                continue
            if len(parts) != len(header):
                report(CorpusFormatError(f"{path}, line {reader.line_num}: {len(parts)} columns where {len(header)} "
                                         "were expected."))
                continue
            yield from _converted(path, reader.line_num, dict(zip(header, parts, strict=True)), convert, report)
    except csv.Error as error:
        report(CorpusFormatError(f"{path}, line {reader.line_num}: {error}."))


def _converted(path: Path, number: int, parts: list | dict, convert: Callable, report: Report) -> Iterator[CorpusItem]:
    try:
        item = convert(parts)
    except ValueError as error:
        report(CorpusFormatError(f"{path}, line {number}: {error}."))
        return
    if item is not None:
        yield item


def _text(path: Path, report: Report) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="strict", newline="") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        report(CorpusFormatError(f"{path} cannot be read as text: {error}."))


def find(folder: Path, *patterns: str, depth: int = 3) -> list[Path]:
    """Files or folders that match a glob pattern in the folder or up to ``depth`` levels below it, nearest first."""
    found: list[Path] = []
    for level in range(depth + 1):
        for pattern in patterns:
            found += [p for p in sorted(folder.glob("*/" * level + pattern)) if p not in found]
        if found:
            break
    return found


class Audio:
    """Where a corpus keeps its audio: the first of several folders and suffixes that has a clip, remembered."""

    def __init__(self, folders: Iterable[Path], suffixes: Sequence[str] = (".flac", ".wav")) -> None:
        self.tries = [(folder, suffix) for folder in folders for suffix in suffixes]

    def __call__(self, name: str) -> Path:
        """The clip's file, or where it should have been."""
        for index, (folder, suffix) in enumerate(self.tries):
            path = folder / f"{name}{suffix}"
            if path.exists():
                if index:
                    self.tries.insert(0, self.tries.pop(index))
                return path
        folder, suffix = self.tries[0]
        return folder / f"{name}{suffix}"


def audio_files(folder: Path, suffixes: Sequence[str] = AUDIO_SUFFIXES) -> list[Path]:
    """All audio files below the folder, sorted, none through a link that leads out of it."""
    root = folder.resolve()
    files = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in files if p.resolve().is_relative_to(root))


def missing_audio(items: Iterable[CorpusItem]) -> list[CorpusItem]:
    """The items whose audio isn't there."""
    return [item for item in items if not item.path.is_file()]
