"""Prepare a corpus for training: decode, copy, degrade, split. The corpus itself is only ever read.

A corpus is a folder with a ``manifest.csv`` (columns at least: clip, file, label, system, family, speaker, source).
:func:`prepare` writes into a working folder, one file per clip and resumably:

    DIR/audio/<clip>.npy     int16 (views, n): view 0 clean, the others degraded once each (see ``augment``)
    DIR/clips.csv            the corpus' clips and their copies, one row each
    DIR/dropped.csv          what could not be used, and why

Splits keep a source repository, a speaker, a clip with its copies, and whatever else the manifest's ``group`` column
declares on one side; never at random. Several corpora and synthesisers at once: ``corpus_build``.
"""

from __future__ import annotations

import csv
import errno
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from core.errors import EarwitnessError
from core.training import augment, copies

SAMPLE_RATE = 16_000
MAX_SECONDS = 8.0
MIN_SECONDS = 0.3
REQUIRED = ("clip", "file", "label", "system", "family", "speaker", "source")
# Which share of the bona fide clips gets a copy by each method; half of them for the cheap but narrow ones.
COPY_SHARES = {"world": 1.0, "griffin-lim": 1.0, "phase": 0.5, "lpc": 0.35}

# Test folds of the leave-source-out protocol: each holds out whole repositories with both classes in every fold.
FOLDS: tuple[tuple[str, ...], ...] = (
    ("e1tts/e1tts.github.io", "Jakobovski/free-spoken-digit-dataset"),
    ("MobileSpeech/MobileSpeech.github.io", "Picovoice/wake-word-benchmark", "keonlee9420/DiffGAN-TTS",
     "keonlee9420/DiffSinger", "lifeiteng/vall-e"),
    ("charactr-platform/vocos", "MarkHershey/AudioDeepFakeDetection", "keonlee9420/StyleSpeech",
     "CorentinJ/Real-Time-Voice-Cloning", "ming024/FastSpeech2", "keonlee9420/Comprehensive-Transformer-TTS"),
    ("mindslab-ai/assem-vc", "nii-yamagishilab/project-NN-Pytorch-scripts", "resemble-ai/Resemblyzer",
     "keonlee9420/PortaSpeech"),
)


class CorpusError(EarwitnessError):
    """The corpus folder cannot be used as it is; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Clip:
    """One training item. ``parent`` is the clip it was copied from, or itself; ``group`` names, parted by ``;``, what
    must stay on one side of a split with it beyond speaker and parent: a voice that several engines share, for one.
    """

    clip: str
    file: str
    label: str  # bonafide | spoof
    system: str
    family: str  # human | tts | vc | vocoder | codec | copy
    speaker: str
    source: str
    partial: str = ""
    language: str = ""
    parent: str = ""
    copier: str = ""
    group: str = ""
    codec: str = ""
    licence: str = ""
    provenance: str = ""  # repository and commit, package and version, engine and voice
    part: str = ""  # the corpus' own split, if it has one

    @property
    def bonafide(self) -> bool:
        return self.label == "bonafide"


def _stop(error: CorpusError) -> None:
    raise error


def read_manifest(corpus: Path, report: Callable[[CorpusError], None] = _stop) -> list[Clip]:
    """Read and check ``manifest.csv``. A wrong row goes to ``report``, which by default raises it, naming the line."""
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise CorpusError(f"{path} is missing: give the folder that holds manifest.csv.")
    clips: dict[str, Clip] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise CorpusError(f"{path} lacks the column(s) {', '.join(missing)}.")
            for number, row in enumerate(reader, 2):
                wrong = _wrong(row, clips)
                if wrong:
                    report(CorpusError(f"{path}, line {number}: {wrong}."))
                else:
                    clips[row["clip"]] = _clip(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a table: {error}.") from error
    return list(clips.values())


def _wrong(row: dict[str, str], seen: Container[str]) -> str:
    """What is wrong with a row, or nothing."""
    if None in row or None in row.values():
        return "it has not as many columns as the header"
    if row["label"] not in ("bonafide", "spoof"):
        return f"label {row['label']!r} is neither bonafide nor spoof"
    if (row["family"] == "human") != (row["label"] == "bonafide"):
        return f"family {row['family']!r} contradicts its label"
    if row["clip"] in seen:
        return f"it names the clip {row['clip']!r} twice"
    parts = Path(row["file"]).parts
    if not row["clip"] or {"/", "\\", "\0"} & set(row["clip"]) or not parts or ".." in parts or parts[0] == "/":
        return f"{row['clip']!r} or {row['file']!r} is not a name inside the corpus"
    return ""


def _clip(row: dict[str, str]) -> Clip:
    values = {k: v for k, v in row.items() if k in {f.name for f in fields(Clip)}}
    values.setdefault("codec", row.get("source_codec", ""))
    if "provenance" not in values and row.get("source_commit"):
        values["provenance"] = f"{row['source']}@{row['source_commit']}/{row.get('source_path', '')}"
    return Clip(**{**values, "parent": row["clip"]})


def plan_copies(clips: Sequence[Clip]) -> list[Clip]:
    """The copies to make of the bona fide clips: chosen by a hash of the clip's name, so always the same."""
    planned = []
    for clip in clips:
        if not clip.bonafide:
            continue
        for name, share in COPY_SHARES.items():
            if _seed(clip.clip, name) % 1000 < share * 1000:
                planned.append(Clip(f"{clip.clip}-{name}", clip.file, "spoof", f"copy:{name}", "copy", clip.speaker,
                                    clip.source, "", clip.language, clip.clip, name, clip.group, clip.codec, clip.licence,
                                    clip.provenance, clip.part))
    return planned


def load_audio(path: Path) -> np.ndarray:
    """Mono float32 at 16 kHz, the middle ``MAX_SECONDS`` at most. Raises ValueError with a reason."""
    import soundfile as sf
    import soxr

    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    x = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        x = soxr.resample(x, rate, SAMPLE_RATE)
    if not np.isfinite(x).all():
        raise ValueError("samples are not finite")
    if len(x) < MIN_SECONDS * SAMPLE_RATE or float(np.abs(x).max()) < 1e-4:
        raise ValueError("too short or silent")
    extra = max(0, len(x) - int(MAX_SECONDS * SAMPLE_RATE))
    return x[extra // 2 : len(x) - (extra - extra // 2)]


def _seed(*parts: object) -> int:
    return zlib.crc32("|".join(map(str, parts)).encode())


def _make(job: tuple[Clip, Path, Path, int, int]) -> tuple[str, str]:
    """Write one clip's views. Returns (clip, '') or (clip, reason it was dropped). A full disk raises CorpusError."""
    clip, corpus, into, views, seed = job
    target = into / "audio" / f"{clip.clip}.npy"
    if target.exists():
        return clip.clip, ""
    try:
        x = load_audio(corpus / clip.file)
        if not clip.partial:
            x = augment.trim_silence(x)
        rng = np.random.default_rng(_seed(seed, clip.clip))
        if clip.copier:
            x = copies.COPIERS[clip.copier](x, rng)
        rows = [augment.level(x, rng)] + [augment.degrade(x, rng) for _ in range(views - 1)]
    except (OSError, ValueError, RuntimeError, ImportError, np.linalg.LinAlgError) as error:
        return clip.clip, f"{type(error).__name__}: {error}"
    write_views(target, np.stack(rows))
    return clip.clip, ""


def write_views(target: Path, views: np.ndarray) -> None:
    """Write float views (V, n) as int16, whole or not at all. Raises CorpusError where the disk does not take them."""
    partial = target.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            np.save(file, (np.clip(views, -1, 1) * 32767).astype(np.int16))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CorpusError(f"The disk that holds {target.parent} is full: make room, then start again; what is "
                              "finished stays.", code="disk-full") from error
        raise CorpusError(f"{target.parent} cannot be written: {error}.") from error


def _made(jobs: Sequence[tuple], workers: int) -> Iterator[tuple[str, str]]:
    """Results of :func:`_make`, here for one worker, from a pool of processes for more."""
    if workers <= 1:
        yield from map(_make, jobs)
        return
    from multiprocessing import get_context

    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_make, jobs, chunksize=4)


def prepare(corpus: Path, into: Path, *, views: int = 6, seed: int = 0, workers: int = 2,
            on_progress: Callable[[int, int], None] | None = None) -> list[Clip]:
    """Build the working folder; a second call finishes what a first one began.

    Returns the usable clips (originals and copies). What is dropped is named in ``dropped.csv``.
    """
    originals = read_manifest(corpus)
    clips = originals + plan_copies(originals)
    (into / "audio").mkdir(parents=True, exist_ok=True)
    jobs = [(clip, corpus, into, views, seed) for clip in clips]
    dropped: dict[str, str] = {}
    for done, (name, reason) in enumerate(_made(jobs, workers), 1):
        if reason:
            dropped[name] = reason
        if on_progress:
            on_progress(done, len(jobs))
    usable = [clip for clip in clips if clip.clip not in dropped]
    write_csv(into / "clips.csv", [asdict(clip) for clip in usable], [f.name for f in fields(Clip)])
    write_csv(into / "dropped.csv", [{"clip": k, "reason": v} for k, v in sorted(dropped.items())],
              ["clip", "reason"])
    return usable


def load_prepared(folder: Path) -> list[Clip]:
    """The rows of ``clips.csv``. Raises CorpusError when the folder was never finished."""
    path = folder / "clips.csv"
    if not path.is_file():
        raise CorpusError(f"{path} is missing: run `python -m core corpus` first, or let it finish.")
    with path.open(newline="", encoding="utf-8") as file:
        return [Clip(**row) for row in csv.DictReader(file)]


def load_views(folder: Path, clip: Clip) -> np.ndarray:
    """int16 (views, n), memory-mapped."""
    return np.load(folder / "audio" / f"{clip.clip}.npy", mmap_mode="r")


def split(clips: Sequence[Clip], held_out: Sequence[str]) -> tuple[list[Clip], list[Clip]]:
    """Leave sources out: (train, test). Test has originals of the held-out sources only; what shares a named speaker, a
    parent or a declared group with the test is removed from training, whatever its source.
    """
    test = [c for c in clips if c.source in held_out and not c.copier]
    bound = set().union(*(groups_of(c) for c in test)) if test else set()
    train = [c for c in clips if c.source not in held_out and not groups_of(c) & bound]
    return train, test


def groups_of(clip: Clip) -> frozenset[str]:
    """What must not be parted by a split: the clip's speaker, the clip it was copied from, its declared groups."""
    declared = (f"group:{name.strip()}" for name in clip.group.split(";") if name.strip())
    speaker = [f"speaker:{clip.speaker}"] if clip.speaker else []
    return frozenset([f"clip:{clip.parent or clip.clip}", *speaker, *declared])


def write_csv(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """Write a table, whole or not at all."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be written: {error}; start again when it can.") from error
