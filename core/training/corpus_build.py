"""Build a training corpus from a recipe: every source's clips, their copies and degraded views, resumable at any moment.

    DIR/audio/<clip>.npy   int16 (views, n), as ``corpus.prepare`` writes them
    DIR/clips.csv          the manifest: label, system, family, speaker, source, language, group, licence, provenance ...
    DIR/dropped.csv        what could not be used, of what kind, and why
    DIR/build.json         the recipe, what each source said, counts of what is there and of what was dropped
    DIR/journal.csv        one line per finished clip, appended; what a second run begins from

A clip is written whole or not at all, so the process may be killed anywhere. A full disk stops the build with its reason.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from core.training import copies
from core.training.corpus import Clip, CorpusError, _seed, write_csv
from core.training.corpus_make import Job, Made, make
from core.training.recipes import SOURCES, BuildRecipe
from core.training.sources_base import BESIDE, Context, Dropped, SourceAbsent, SourceItem

JOURNAL = ("clip", "digest", "offset_s", "seconds")
LEAST_FREE = 64 * 2**20  # bytes; a build stops before the disk is quite full


@dataclass(frozen=True)
class BuildReport:
    """What a build came to. told: what each source or engine said; summary: the counts of build.json."""

    clips: list[Clip]
    dropped: list[Dropped]
    told: dict[str, str]
    summary: dict


def build(recipe: BuildRecipe, into: Path, *, corpus: Path = BESIDE, workers: int = 2,
          on_progress: Callable[[int, int], None] | None = None) -> BuildReport:
    """Build, or finish building, the corpus of a recipe.

    Raises CorpusError where a source that isn't optional is missing, where ``into`` holds a corpus built with other
    settings, or where the disk is full; what is finished stays.
    """
    (into / "audio").mkdir(parents=True, exist_ok=True)
    _same_settings(recipe, into)
    for left in (into / "audio").glob("*.part"):
        left.unlink(missing_ok=True)
    dropped: list[Dropped] = []
    items, told = gather(recipe, corpus, dropped)
    jobs = [Job(item, into, recipe.views, recipe.seed, recipe.max_seconds) for item in items]
    jobs += plan_copies(recipe, jobs, told)
    made = _finished(jobs, into)
    waiting = [job for job in jobs if job.item.clip.clip not in made]
    for result in _results(waiting, workers, into):
        made[result.clip] = result
        if on_progress:
            on_progress(len(made), len(jobs))
    return _finish(recipe, into, jobs, made, dropped, told)


def gather(recipe: BuildRecipe, corpus: Path, dropped: list[Dropped]) -> tuple[list[SourceItem], dict[str, str]]:
    """The items of all sources in the recipe's order, and what each source said. Nothing is decoded."""
    told: dict[str, str] = {}
    items: dict[str, SourceItem] = {}
    context = Context(recipe.folder, corpus.resolve(), dropped.append, recipe.seed, recipe.max_seconds, told)
    for number, options in enumerate(recipe.source, 1):
        name = f"{number}. {options['kind']} {options.get('folder', '')}".strip()
        before = len(items)
        try:
            for item in SOURCES[options["kind"]](options, context):
                if items.setdefault(item.clip.clip, item) is not item:
                    dropped.append(Dropped(item.clip.clip, item.clip.source, "unusable", "its name is taken already"))
        except SourceAbsent as error:
            if options.get("optional") is not True:
                raise
            told[name] = f"left out: {error.message}"
            continue
        told[name] = f"{len(items) - before} clips"
    return list(items.values()), told


def plan_copies(recipe: BuildRecipe, jobs: Sequence[Job], told: dict[str, str]) -> list[Job]:
    """The copies of the bona fide clips, chosen by a hash of the clip's name, so always the same. A copier that can't
    work here is told and left out.
    """
    vocoders = find_vocoders(recipe)
    shares = {name: share for name, share in recipe.copies.items() if share}
    for name in list(shares):
        missing = copies.absent(name) if name != "neural" else "" if vocoders else f"no vocoders in {recipe.vocoders!r}"
        if missing:
            told[f"copier {name}"] = missing
            del shares[name]
    planned = []
    for job in jobs:
        clip = job.item.clip
        for name, share in shares.items() if clip.bonafide else ():
            if _seed(clip.clip, name) % 1000 >= share * 1000:
                continue
            vocoder = vocoders[_seed(clip.clip, "which") % len(vocoders)] if name == "neural" else None
            copier = vocoder.stem if vocoder else name
            copy = replace(clip, clip=f"{clip.clip}-{copier}", label="spoof", system=f"copy:{copier}", partial="",
                           family="vc" if name == "world-vc" else "copy", parent=clip.clip, copier=copier)
            planned.append(replace(job, item=replace(job.item, clip=copy), vocoder=vocoder))
    return planned


def find_vocoders(recipe: BuildRecipe) -> list[Path]:
    """The vocoder files of a recipe's folder and of the folders in it."""
    if not recipe.vocoders:
        return []
    folder = (recipe.folder / Path(recipe.vocoders).expanduser()).resolve()
    return sorted([*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")])


def _same_settings(recipe: BuildRecipe, into: Path) -> None:
    """Refuse to mix clips made with different settings; sources and copies may change between runs."""
    settings = {"views": recipe.views, "seed": recipe.seed, "max_seconds": recipe.max_seconds}
    path = into / "settings.json"
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CorpusError(f"{path} cannot be read ({error}): choose another folder.") from error
        if found != settings:
            raise CorpusError(f"{into} was built with other settings ({found}): choose another folder for {settings}.")
    elif (into / "clips.csv").is_file():
        raise CorpusError(f"{into} holds a corpus that no recipe built: choose another folder.")
    else:
        _write_json(path, settings)


def _finished(jobs: Sequence[Job], into: Path) -> dict[str, Made]:
    """What an earlier run finished: named in the journal, and its audio there and whole."""
    path = into / "journal.csv"
    if not path.is_file():
        return {}
    wanted = {job.item.clip.clip for job in jobs}
    found: dict[str, Made] = {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.reader(file):
            try:
                made = Made(row[0], digest=int(row[1]), offset_s=float(row[2]), seconds=float(row[3]))
            except (IndexError, ValueError):  # the line that a kill cut short
                continue
            if made.clip in wanted and _whole(into / "audio" / f"{made.clip}.npy"):
                found[made.clip] = made
    return found


def _whole(path: Path) -> bool:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).ndim == 2
    except (OSError, ValueError, EOFError):
        return False


def _results(jobs: Sequence[Job], workers: int, into: Path) -> Iterator[Made]:
    """Make the clips, here or in processes, and note each in the journal as it is finished."""
    if not jobs:
        return
    try:
        with (into / "journal.csv").open("a", newline="", encoding="utf-8") as file:
            file.write("\n")  # ends a line that a kill cut short
            writer = csv.writer(file)
            for number, result in enumerate(_made(jobs, workers)):
                if number % 16 == 0 and shutil.disk_usage(into).free < LEAST_FREE:
                    raise CorpusError(f"The disk that holds {into} is full but for {LEAST_FREE >> 20} MB: make room, "
                                      "then start again; what is finished stays.", code="disk-full")
                if not result.reason:
                    writer.writerow([result.clip, result.digest, f"{result.offset_s:.3f}", f"{result.seconds:.3f}"])
                    file.flush()
                yield result
    except OSError as error:
        raise CorpusError(f"{into} cannot be written: {error}.") from error


def _made(jobs: Sequence[Job], workers: int) -> Iterator[Made]:
    if workers <= 1:
        yield from map(make, jobs)
        return
    from multiprocessing import get_context

    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(make, jobs, chunksize=4)


def _finish(recipe: BuildRecipe, into: Path, jobs: Sequence[Job], made: dict[str, Made], dropped: list[Dropped],
            told: dict[str, str]) -> BuildReport:
    by_digest: dict[int, list[Clip]] = defaultdict(list)
    clips: list[Clip] = []
    for job in jobs:
        clip, result = job.item.clip, made[job.item.clip.clip]
        if result.reason:
            dropped.append(Dropped(clip.clip, clip.source, result.kind, result.reason))
            continue
        clips.append(replace(clip, partial=shifted(clip.partial, result.offset_s, result.seconds)))
        if not clip.copier and not job.item.speech:
            by_digest[result.digest].append(clip)
    clips = _without_contradictions(clips, by_digest, dropped)
    seconds = sum(made[c.clip].seconds for c in clips)
    summary = {
        "recipe": recipe.name, "clips": len(clips), "hours": round(seconds / 3600, 3), "sources": told,
        "counts": {key: dict(Counter(getattr(c, key) for c in clips).most_common())
                   for key in ("label", "family", "system", "source", "language", "licence", "copier")},
        "dropped": {"total": len(dropped), "by_kind": dict(Counter(d.kind for d in dropped).most_common()),
                    "by_source": dict(Counter(d.source for d in dropped).most_common())},
    }
    write_csv(into / "dropped.csv", [asdict(d) for d in dropped], [f.name for f in fields(Dropped)])
    _write_json(into / "build.json", summary)
    write_csv(into / "clips.csv", [asdict(c) for c in clips], [f.name for f in fields(Clip)])
    return BuildReport(clips, dropped, told, summary)


def _without_contradictions(clips: list[Clip], by_digest: dict[int, list[Clip]], dropped: list[Dropped]) -> list[Clip]:
    """Drop sounds that two sources label differently, with their copies; bind equal ones of one label into a group."""
    out: set[str] = set()
    group: dict[str, str] = {}
    for digest, same in by_digest.items():
        if len({c.label for c in same}) > 1:
            names = ", ".join(f"{c.clip} of {c.source}" for c in same)
            dropped += [Dropped(c.clip, c.source, "contradiction", f"the same sound is labelled both ways: {names}")
                        for c in same]
            out |= {c.clip for c in same}
        elif len(same) > 1:
            group |= {c.clip: f"same:{digest:08x}" for c in same}
    dropped += [Dropped(c.clip, c.source, "contradiction", f"copy of {c.parent}, which was dropped")
                for c in clips if c.copier and c.parent in out]
    return [replace(c, group=";".join(filter(None, (c.group, group.get(c.parent)))))
            for c in clips if c.parent not in out]


def shifted(partial: str, offset_s: float, seconds: float) -> str:
    """Stretches ``a-b;c-d`` in seconds of the file, in seconds of the clip that was cut from it; other words stay."""
    try:
        spans = [tuple(map(float, span.split("-"))) for span in partial.split(";") if span]
        kept = [(max(0.0, a - offset_s), min(seconds, b - offset_s)) for a, b in spans]
    except ValueError:
        return partial
    return ";".join(f"{a:.3f}-{b:.3f}" for a, b in kept if b > a) or ("yes" if spans else partial)


def _write_json(path: Path, values: dict) -> None:
    partial = path.with_suffix(".part")
    try:
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be written: {error}; start again when it can.") from error
