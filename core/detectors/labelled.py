"""The user's labelled clips: a folder with ``bonafide/`` and ``spoof/``, or a CSV, and their scores by a detector.

    FOLDER/bonafide/[SPEAKER/]clip.wav        FOLDER/spoof/[SYSTEM/]clip.wav
    path,label[,speaker][,system]             label is bonafide or spoof; path is relative to the CSV

Nothing is dropped silently: what can't be read, is there twice under both labels or gives no number is named with its
reason and counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import Cancelled, EarwitnessError, InvalidOption

if TYPE_CHECKING:
    from core.detectors.clip import NetworkDetector

LABELS = {"bonafide": True, "bona-fide": True, "bona_fide": True, "bona fide": True, "real": True,
          "spoof": False, "fake": False}
ENDINGS = frozenset((".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".amr", ".3gp",
                     ".webm", ".mka", ".aif", ".aiff", ".au", ".caf"))
MOST_CSV_BYTES = 64_000_000


@dataclass(frozen=True)
class LabelledClip:
    """A file and its truth. ``group``: the speaker of bona fide, the system of spoofed speech; empty where unknown."""

    path: Path
    bonafide: bool
    group: str = ""


@dataclass(eq=False)
class Scored:
    """Raw scores of labelled clips. ``groups_*`` name whole speakers and systems; a clip without one is its own."""

    bonafide: np.ndarray
    spoof: np.ndarray
    groups_bonafide: list[str]
    groups_spoof: list[str]
    saturated: float = 0.0  # share of clips beyond what a probability can show
    dropped: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)

    @property
    def scores(self) -> np.ndarray:
        return np.concatenate((self.bonafide, self.spoof))

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate((np.ones(self.bonafide.size, bool), np.zeros(self.spoof.size, bool)))

    @property
    def groups(self) -> list[str]:
        return [f"b {g}" for g in self.groups_bonafide] + [f"s {g}" for g in self.groups_spoof]


def read_labelled(source: Path | str) -> list[LabelledClip]:
    """The clips of a labelled folder or CSV. Raises InvalidOption with a sentence that names what is wrong."""
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        return _from_csv(path)
    raise InvalidOption(f"There is no labelled folder or CSV {path}; give one with clips of known truth.")


def _from_folder(folder: Path) -> list[LabelledClip]:
    clips = []
    for part in sorted(p for p in folder.iterdir() if p.is_dir() and p.name.lower() in LABELS):
        for file in sorted(f for f in part.rglob("*") if f.suffix.lower() in ENDINGS and f.is_file()):
            below = file.relative_to(part).parts
            clips.append(LabelledClip(file, LABELS[part.name.lower()], below[0] if len(below) > 1 else ""))
    return _both(clips, f"{folder.name} needs the subfolders bonafide and spoof with sound files in both")


def _from_csv(path: Path) -> list[LabelledClip]:
    try:
        if path.stat().st_size > MOST_CSV_BYTES:
            raise InvalidOption(f"{path.name} is larger than {MOST_CSV_BYTES // 1_000_000} MB; give a shorter list.")
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names = set(reader.fieldnames or [])
        column = next((c for c in ("path", "file") if c in names), None)
        if column is None or "label" not in names:
            raise InvalidOption(f"{path.name} needs the columns path and label; its first line has others.")
        clips = [_row(path, column, row, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InvalidOption(f"{path.name} can't be read as a CSV in UTF-8; save it again.") from problem
    return _both(_agreeing(clips, path.name), f"{path.name} needs clips of both labels")


def _row(path: Path, column: str, row: dict[str, Any], line: int) -> LabelledClip:
    label = str(row.get("label") or "").strip().lower()
    name = str(row.get(column) or "").strip()
    if label not in LABELS:
        raise InvalidOption(f"{path.name}, line {line}: the label {label[:40]!r} is neither bonafide nor spoof.")
    if not name or "\0" in name:
        raise InvalidOption(f"{path.name}, line {line}: there is no path.")
    bonafide = LABELS[label]
    return LabelledClip(path.parent / name, bonafide, str(row.get("speaker" if bonafide else "system") or "").strip())


def _agreeing(clips: Iterable[LabelledClip], name: str) -> list[LabelledClip]:
    """Each file once. Raises InvalidOption where one has both labels."""
    seen: dict[Path, LabelledClip] = {}
    for clip in clips:
        if seen.setdefault(clip.path, clip).bonafide != clip.bonafide:
            raise InvalidOption(f"{name} gives {clip.path.name} both labels; correct it.")
    return list(seen.values())


def _both(clips: list[LabelledClip], otherwise: str) -> list[LabelledClip]:
    if not any(c.bonafide for c in clips) or all(c.bonafide for c in clips):
        raise InvalidOption(f"{otherwise}.")
    return clips


def thinned(clips: Sequence[LabelledClip], most: int) -> list[LabelledClip]:
    """At most ``most`` clips of each class, taking turns among speakers and systems; the same ones every time."""
    chosen = []
    for truth in (True, False):
        queues: dict[str, list[LabelledClip]] = {}
        for place, clip in enumerate(c for c in clips if c.bonafide is truth):
            queues.setdefault(clip.group or str(place), []).append(clip)
        turns = [[queue[i] for queue in queues.values() if i < len(queue)]
                 for i in range(max(map(len, queues.values()), default=0))]
        flat = [clip for turn in turns for clip in turn]
        step = max(1.0, len(turns[0]) / most) if turns else 1.0  # spread over the groups where there are too many
        first = [turns[0][int(i * step)] for i in range(min(most, len(turns[0])))] if turns else []
        chosen += (first if len(first) >= most else flat)[:most]
    return chosen


def score_clips(detector: NetworkDetector, clips: Sequence[LabelledClip], *,
                on_progress: Callable[[float], Any] | None = None,
                cancelled: Callable[[], bool] | None = None) -> Scored:
    """Raw scores of all clips, whatever the polarity check says. Raises Cancelled; a bad clip is named, not raised."""
    from core.audio import read_recording
    from core.detectors.clip import SATURATED

    heard: dict[str, tuple[LabelledClip, float, bool]] = {}
    dropped: list[tuple[str, str]] = []
    both: set[str] = set()
    for i, clip in enumerate(clips):
        if cancelled is not None and cancelled():
            raise Cancelled()
        try:
            recording = read_recording(clip.path)
            _, scores = detector.listen(recording, cancelled=cancelled)
        except Cancelled:
            raise
        except EarwitnessError as problem:
            dropped.append((clip.path.name, problem.message))
            continue
        known = heard.setdefault(recording.sha256, (clip, float(scores.mean()), bool((abs(scores) > SATURATED).any())))
        if known[0] is not clip:
            dropped.append((clip.path.name, f"has the same bytes as {known[0].path.name}"))
            if known[0].bonafide != clip.bonafide:
                both.add(recording.sha256)
        if on_progress is not None:
            on_progress((i + 1) / len(clips))
    dropped += [(heard.pop(digest)[0].path.name, "has the same bytes under both labels") for digest in both]
    return _collected(list(heard.values()), dropped)


def _collected(heard: list[tuple[LabelledClip, float, bool]], dropped: list[tuple[str, str]]) -> Scored:
    parts = {truth: [(score, clip.group or str(clip.path)) for clip, score, _ in heard if clip.bonafide is truth]
             for truth in (True, False)}
    scores = {truth: np.array([score for score, _ in rows], dtype=np.float64) for truth, rows in parts.items()}
    groups = {truth: [group for _, group in rows] for truth, rows in parts.items()}
    share = sum(full for _, _, full in heard) / max(1, len(heard))
    return Scored(scores[True], scores[False], groups[True], groups[False], share, dropped)
