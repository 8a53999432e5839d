"""The whole line for one recording: bytes -> recording -> encoding -> analyses -> finding.

Pages, command line and tests all come through `examine`. A result is kept for the same bytes, model and
parameters, so nothing is computed twice; what is kept is bounded by the seconds of audio it holds.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.audio import Recording, read_recording, safe_name
from core.entropy import EntropyAnalysis, analyse_entropy
from core.errors import Cancelled, EarwitnessError, ModelUnavailable
from core.finding import Finding, calibration_of, conclude
from core.panel import read_panel
from core.quality import Quality, measure_quality
from core.report_json import to_dict
from core.settings import LIMITS
from core.version import VERSION

if TYPE_CHECKING:
    from core.encode import Encoding
    from models.registry import Detector

Progress = Callable[[float, str], Any]

KEPT = 16  # examinations at most
KEPT_SECONDS = 3_600.0  # of audio in them together; the last one is always kept


@dataclass(frozen=True, eq=False)
class Examination:
    """Everything known about one recording. `seconds`: how long it took; `model`: the name that loads it."""

    recording: Recording
    quality: Quality
    encoding: Encoding
    entropy: EntropyAnalysis
    finding: Finding
    model: str
    weights_sha256: str
    device: str
    seconds: float
    version: str = VERSION

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, schema "earwitness/examination/1". See `core.report_json`."""
        return to_dict(self)


class _Kept:
    """Results by content, least recently used out first. Safe from several threads."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._items: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key: Hashable, value: Any, seconds: float) -> None:
        with self._lock:
            self._items[key] = (value, seconds)
            self._items.move_to_end(key)
            while len(self._items) > 1 and (
                len(self._items) > self._most or sum(s for _, s in self._items.values()) > self._seconds
            ):
                self._items.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._items.clear()


_examinations = _Kept(KEPT, KEPT_SECONDS)
_qualities = _Kept(64, float("inf"))


def forget() -> None:
    """Drop all kept results (tests, benchmarks)."""
    _examinations.clear()
    _qualities.clear()


def quality_of(recording: Recording) -> Quality:
    """`measure_quality`, measured once for the same bytes."""
    quality = _qualities.get(recording.sha256)
    if quality is None:
        quality = measure_quality(recording)
        _qualities.put(recording.sha256, quality, 0.0)
    return quality


def detector_for(model: str | Path, device: str = "auto") -> Detector:
    """The detector, fit for findings. Raises ModelUnavailable with a sentence for the user."""
    from models.registry import load_detector

    try:
        detector = load_detector(model, device)
    except (LookupError, FileNotFoundError, RuntimeError, ValueError) as problem:
        words = str(problem.args[0]) if problem.args else str(problem)
        raise ModelUnavailable(words) from problem
    calibration_of(detector)  # before an hour is encoded in vain
    return detector


def examine(
    source: bytes | Path | str | Recording,
    name: str | None = None,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Examination:
    """Examine one recording.

    source: the bytes of a file, its path, or a recording already read; name: what to call it; model: a
    registry name or a model folder, the shipped default for None; on_progress(share, words) is called now and
    then.

    Raises UnreadableAudio, ModelUnavailable, Cancelled: all EarwitnessError, with one sentence for the user.
    """
    began = time.perf_counter()
    tell = _teller(on_progress, cancelled)
    detector = detector_for(_default() if model is None else model, device)
    known = _find(source, detector)
    if known is not None:
        return _renamed(known, source, name)
    tell(0.0, "decoding")
    recording = source if isinstance(source, Recording) else read_recording(source, name)
    known = _examinations.get(_key(recording.sha256, detector))
    if known is not None:
        return _renamed(known, recording, name)
    found = _examine(recording, detector, str(model or _default()), began, tell, cancelled)
    _examinations.put(_key(recording.sha256, detector), found, recording.duration_s)
    return found


def _examine(
    recording: Recording,
    detector: Detector,
    model: str,
    began: float,
    tell: Progress,
    cancelled: Callable[[], bool] | None,
) -> Examination:
    from core.encode import encode
    from core.speaker.several import speakers_row

    tell(0.05, "measuring quality")
    quality = quality_of(recording)
    tell(0.1, "encoding")
    encoding = encode(
        recording,
        detector,
        on_progress=lambda share: tell(0.1 + 0.4 * share, "encoding"),
        cancelled=cancelled,
    )
    reading = read_panel(
        recording,
        detector,
        on_progress=lambda share: tell(0.5 + 0.4 * share, "listening"),
        cancelled=cancelled,
    )
    entropy = analyse_entropy(
        encoding,
        recording,
        detector,
        quality,
        reading,
        on_progress=lambda share: tell(0.9 + 0.08 * share, "measuring entropy"),
        cancelled=cancelled,
    )
    tell(0.98, "comparing voices")
    speakers = speakers_row(recording, str(detector.device))
    finding = conclude(recording, quality, entropy, detector, speakers=speakers)
    tell(1.0, "done")
    device, seconds = str(detector.device), time.perf_counter() - began
    return Examination(
        recording, quality, encoding, entropy, finding, model, detector.weights_sha256, device, seconds
    )


def _teller(on_progress: Progress | None, cancelled: Callable[[], bool] | None) -> Progress:
    def tell(share: float, words: str) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled()
        if on_progress is not None:
            on_progress(share, words)

    return tell


def _default() -> str:
    from models.registry import DEFAULT_MODEL

    return DEFAULT_MODEL


def _key(sha256: str, detector: Detector) -> Hashable:
    return (sha256, detector.content_sha256, str(detector.device))


def _find(source: bytes | Path | str | Recording, detector: Detector) -> Examination | None:
    """A kept examination of a source whose digest is cheap to know, before it is decoded."""
    if isinstance(source, Recording):
        return _examinations.get(_key(source.sha256, detector))
    if isinstance(source, bytes | bytearray | memoryview) and len(source) <= LIMITS.in_memory_bytes:
        return _examinations.get(_key(hashlib.sha256(source).hexdigest(), detector))
    return None


def _renamed(known: Examination, source: bytes | Path | str | Recording, name: str | None) -> Examination:
    """A kept examination under the name that this copy of the same bytes goes by."""
    if isinstance(source, Recording):
        return known if source.name == known.recording.name else replace(known, recording=source)
    if name is None and isinstance(source, Path | str):
        name = Path(source).name
    wanted = safe_name(name, LIMITS)
    if wanted == known.recording.name:
        return known
    return replace(known, recording=replace(known.recording, name=wanted))


__all__ = ["EarwitnessError", "Examination", "detector_for", "examine", "forget", "quality_of"]
