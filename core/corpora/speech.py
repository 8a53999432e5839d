"""Corpora of real speech in their own layouts: LibriSpeech, VCTK, Common Voice. Every clip is bona fide.

References
----------
Panayotov et al. 2015, "Librispeech".  Yamagishi et al. 2019, "CSTR VCTK corpus" (version 0.92).  Ardila et al. 2020,
"Common Voice".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.corpora.item import CorpusFormatError, CorpusItem, Report, audio_files, find, safe_name, stop, table


def _recording(path: Path, clip: str, speaker: str, language: str, split: str, licence: str, source: str) -> CorpusItem:
    return CorpusItem(path, clip, "bonafide", "recording", "human", speaker, language, "", split, licence, source)


def librispeech(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac``; the transcripts list the clips, so missing audio shows."""
    transcripts = sorted(folder.rglob("*.trans.txt"))
    if not transcripts:
        report(CorpusFormatError(f"{folder} has no transcripts named like 19-198.trans.txt."))
    for transcript in transcripts:
        chapter = transcript.parent
        if len(chapter.parts) < 3:
            continue
        part, speaker = chapter.parent.parent.name, chapter.parent.name
        try:
            texts = transcript.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            report(CorpusFormatError(f"{transcript} cannot be read as text: {error}."))
            continue
        for number, text in enumerate(texts, 1):
            name = text.split(" ", 1)[0]
            if not name:
                continue
            if name.split("-")[:2] != [speaker, chapter.name] or len(name.split("-")) != 3:
                report(CorpusFormatError(f"{transcript}, line {number}: {name!r} is not a clip of this chapter."))
                continue
            yield _recording(chapter / f"{name}.flac", name, speaker, "en", part, "CC BY 4.0", "LibriSpeech")


def vctk(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``wav48_silence_trimmed/p225/p225_001_mic1.flac`` or ``wav48/p225/p225_001.wav``; one microphone per sentence."""
    roots = find(folder, "wav48_silence_trimmed", "wav48", "wav16", depth=2)
    if not roots:
        report(CorpusFormatError(f"{folder} has neither wav48_silence_trimmed nor wav48."))
    for root in roots[:1]:
        seen: set[str] = set()
        for path in audio_files(root, (".flac", ".wav")):
            name = path.stem.removesuffix("_mic1").removesuffix("_mic2")
            if name in seen:
                continue
            seen.add(name)
            yield _recording(path, name, path.parent.name, "en", "", "CC BY 4.0", "VCTK")


def common_voice(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``LANGUAGE/{train,dev,test}.tsv`` (else ``validated.tsv``) beside ``LANGUAGE/clips``."""
    parts = find(folder, "train.tsv", "dev.tsv", "test.tsv") or find(folder, "validated.tsv")
    if not parts:
        report(CorpusFormatError(f"{folder} has neither train.tsv nor validated.tsv."))
    for path in parts:
        root = path.parent

        def convert(row: dict[str, str], root: Path = root, part: str = path.stem) -> CorpusItem:
            name = safe_name(row["path"])
            name = name if Path(name).suffix else f"{name}.mp3"
            language = row.get("locale", "").strip() or root.name
            return _recording(root / "clips" / name, f"{language}/{name}", row["client_id"].strip(), language, part,
                              "CC0-1.0", "Common Voice")

        yield from table(path, ("client_id", "path"), convert, report, delimiter="\t")
