"""Sources that are files: a folder with a manifest, a published corpus, a plain folder of one kind of speech."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.corpora import TITLES, CorpusFormatError, CorpusItem, detect_layout, read_corpus
from core.corpora.item import audio_files
from core.training.corpus import Clip, read_manifest
from core.training.sources_base import Context, Dropped, SourceAbsent, SourceItem, option

# One voice under one name in every source, so that a split sees it: a prefix for a corpus' own speaker numbers.
SPEAKER_PREFIX = {"librispeech": "libri-", "vctk": "", "common-voice": "cv-", "in-the-wild": "itw-"}


def clip_name(*parts: object) -> str:
    """A short file name from whatever identifies a clip, the same every time."""
    text = "|".join(map(str, parts)).encode()
    return f"{zlib.crc32(text):08x}{zlib.adler32(text[::-1]):08x}"


def manifest(options: Mapping[str, Any], context: Context) -> Iterator[SourceItem]:
    """A folder with ``manifest.csv``. Options: folder."""
    folder = context.path(option(options, "folder", str))
    if not (folder / "manifest.csv").is_file():
        raise SourceAbsent(f"{folder} has no manifest.csv: put the corpus there, or name its folder with --corpus.")
    for clip in read_manifest(folder, lambda e: context.report(Dropped("", folder.name, "wrong-row", e.message))):
        yield SourceItem(clip, folder / clip.file)


def published(options: Mapping[str, Any], context: Context) -> Iterator[SourceItem]:
    """A published corpus in its own layout. Options: folder, layout (recognised if left out), parts, families, most.

    parts: which of the corpus' own splits; families: which families of spoofs; most: at most so many clips per label and
    system, chosen by a hash of their names.
    """
    folder = context.path(option(options, "folder", str))
    if not folder.is_dir():
        raise SourceAbsent(f"{folder} is not there: unpack the corpus into it, or leave the source out.")
    layout = option(options, "layout", str, "") or detect_layout(folder)
    if not layout:
        raise SourceAbsent(f"{folder} holds none of the known layouts ({', '.join(TITLES)}).")
    title = TITLES.get(layout, layout)

    def wrong(error: CorpusFormatError) -> None:
        context.report(Dropped("", title, "wrong-row", error.message))

    parts, families = option(options, "parts", list, []), option(options, "families", list, [])
    items = [i for i in read_corpus(layout, folder, wrong) if (not parts or i.split in parts)
             and (not families or i.bonafide or i.family in families)]
    for item in _most(items, option(options, "most", int, 0)):
        name = clip_name(layout, item.clip)
        if item.path.is_file():
            yield SourceItem(_published_clip(layout, name, item), item.path)
        else:
            context.report(Dropped(item.clip, title, "missing", f"{item.path} is not there"))


def _published_clip(layout: str, name: str, item: CorpusItem) -> Clip:
    speaker = f"{SPEAKER_PREFIX.get(layout, layout + '-')}{item.speaker}" if item.speaker else ""
    spans = ";".join(f"{start:g}-{stop:g}" for start, stop in item.partial) or ("yes" if item.family == "hybrid" else "")
    system = item.system if item.bonafide else f"{layout}:{item.system}"
    return Clip(name, item.path.name, item.label, system, item.family, speaker, item.source, spans,
                item.language, name, "", "", item.codec, item.licence, f"{item.source}: {item.clip}", item.split)


def _most(items: list[CorpusItem], most: int) -> list[CorpusItem]:
    if not most:
        return items
    kept: dict[tuple[str, str], list[CorpusItem]] = {}
    for item in sorted(items, key=lambda i: zlib.crc32(i.clip.encode())):
        group = kept.setdefault((item.label, item.system), [])
        if len(group) < most:
            group.append(item)
    return [item for group in kept.values() for item in group]


def folder(options: Mapping[str, Any], context: Context) -> Iterator[SourceItem]:
    """A folder of one kind of speech. Options: folder, title, label, system, family, language, speaker, licence, group.

    speaker: ``{parent}`` stands for the name of the folder a file lies in. Long files are cut into pieces of the longest
    clip's length.
    """
    root = context.path(option(options, "folder", str))
    if not root.is_dir():
        raise SourceAbsent(f"{root} is not there.")
    title = option(options, "title", str, root.name)
    template = Clip("", "", option(options, "label", str), option(options, "system", str, "recording"),
                    option(options, "family", str, "human"), option(options, "speaker", str, ""), title,
                    language=option(options, "language", str, ""), group=option(options, "group", str, ""),
                    licence=option(options, "licence", str, "not stated"))
    yield from pieces(audio_files(root, (*SUFFIXES,)), root, template, context)


SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3", ".m4a", ".g722")


def pieces(paths: list[Path], root: Path, template: Clip, context: Context) -> Iterator[SourceItem]:
    """Items of files that share all but their names, long ones cut into pieces."""
    for path in paths:
        inside = path.relative_to(root).as_posix()
        seconds = _seconds(path)
        name = clip_name(template.source, inside)
        clip = replace(template, clip=name, file=inside, parent=name, provenance=f"{template.source}: {inside}",
                       speaker=template.speaker.replace("{parent}", path.parent.name))
        if seconds is None or seconds <= 1.5 * context.max_seconds:
            yield SourceItem(clip, path)
            continue
        for number in range(int(seconds // context.max_seconds)):
            start = number * context.max_seconds
            piece = f"{name}-{number}"
            yield SourceItem(replace(clip, clip=piece, parent=piece, group=f"{clip.group};file:{name}".strip(";")), path,
                             (start, start + context.max_seconds))


def _seconds(path: Path) -> float | None:
    """The length of a file that soundfile can open; None for others, which are taken whole."""
    import soundfile as sf

    try:
        return float(sf.info(path).duration)
    except (RuntimeError, OSError):
        return None
