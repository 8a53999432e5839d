"""From bytes to a ``Recording``: mono float32 at 16 kHz, the sha256 of the untouched bytes, container facts.

Reads wav, flac, ogg, opus, mp3, m4a/aac, amr, webm and the audio track of mp4 at any rate, depth and
channel count. Everything streams in blocks, so memory stays bounded for hours; recordings beyond about 20
minutes live in a private temporary file. A failure to decode is always an ``UnreadableAudio``, never silence.
"""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from core.audio_decode import NotThisDecoder, Opened, open_pyav, open_soundfile
from core.audio_facts import ContainerFacts, safe_name, shortfall
from core.audio_sink import MonoSink
from core.errors import UnreadableAudio
from core.frames import SAMPLE_RATE, format_time
from core.settings import LIMITS, Limits

__all__ = ["SAMPLE_RATE", "ContainerFacts", "Recording", "read_recording", "safe_name"]


@dataclass(frozen=True, eq=False)
class Recording:
    """One decoded recording.

    samples : np.ndarray [shape=(n,)], mono float32 at 16 kHz, nominally in [-1, 1], read-only (a np.memmap of
    an unnamed temporary file for long recordings). ``sha256`` is of the original bytes, in hexadecimal.
    ``warnings`` are sentences for the user.
    """

    name: str
    sha256: str
    samples: np.ndarray
    facts: ContainerFacts
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def read_recording(source: bytes | Path | str, name: str | None = None, *,
                   limits: Limits = LIMITS) -> Recording:
    """Decode a recording.

    source : the bytes of a file, or its path.  name : what to call it; by default the path's last component.
    Raises UnreadableAudio with a one-sentence reason for everything that can't be examined.
    """
    with _open(source, limits) as (stream, n_bytes):
        sha256 = _digest(stream)
        opened, sink = _decode(stream, limits)
        warnings = [*opened.notes, *_damage(opened, sink, shortfall(stream, n_bytes)), *sink.warnings()]
    facts = ContainerFacts(
        opened.container, opened.codec, opened.sample_rate_hz, opened.bit_depth, opened.channels,
        sink.native_s, opened.bit_rate_bps or round(n_bytes * 8 / sink.native_s),
        MappingProxyType(opened.tags), sink.bandwidth_hz(), opened.decoder, n_bytes,
    )
    if name is None and not isinstance(source, bytes | bytearray | memoryview):
        name = Path(source).name
    return Recording(safe_name(name, limits), sha256, sink.samples(), facts, tuple(warnings))


@contextmanager
def _open(source: bytes | Path | str, limits: Limits) -> Iterator[tuple[BinaryIO, int]]:
    """A seekable stream over the source and its size; checks size and kind before anything is read."""
    if isinstance(source, bytes | bytearray | memoryview):
        n_bytes = len(source)
        _check_size(n_bytes, limits)
        yield io.BytesIO(source), n_bytes
        return
    path = Path(source)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableAudio("This is not a file; choose a single audio file.", code="not-a-file")
        _check_size(status.st_size, limits)
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        raise UnreadableAudio("The file can't be opened; check that it exists and may be read.",
                              code="missing") from error
    with stream:
        if status.st_size <= limits.in_memory_bytes:
            data = stream.read(limits.in_memory_bytes + 1)
            _check_size(len(data), limits)
            yield io.BytesIO(data), len(data)
        else:
            yield stream, status.st_size


def _check_size(n_bytes: int, limits: Limits) -> None:
    if n_bytes == 0:
        raise UnreadableAudio("The file is empty; choose a file that has audio in it.", code="empty")
    if n_bytes > limits.max_bytes:
        size = f"{limits.max_bytes / 2**30:.3g} GiB"
        raise UnreadableAudio(f"The file is larger than {size}; cut it into parts.", code="too-large")


def _digest(stream: BinaryIO) -> str:
    if isinstance(stream, io.BytesIO):
        return hashlib.sha256(stream.getbuffer()).hexdigest()
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _decode(stream: BinaryIO, limits: Limits) -> tuple[Opened, MonoSink]:
    """Try the decoders in turn; the first that gets to the end wins, else the one that got furthest."""
    best: tuple[Opened, MonoSink] | None = None
    refusal: UnreadableAudio | None = None
    for opener in (open_soundfile, open_pyav):
        try:
            opened = opener(stream, limits)
            sink = _drain(opened, limits)
        except NotThisDecoder:
            continue
        except UnreadableAudio as error:
            if error.code not in ("damaged", "no-audio-track"):
                raise
            refusal = refusal or error
            continue
        if best is None or sink.native_s > best[1].native_s:
            best = (opened, sink)
        if sink.native_s and opened.problem is None:
            break
    if best is None:
        raise refusal or UnreadableAudio(
            "The file isn't audio that can be decoded; export it as wav, flac, mp3 or m4a and try again.",
            code="not-audio")
    _check_result(best[1], limits)
    return best


def _drain(opened: Opened, limits: Limits) -> MonoSink:
    if opened.declared_s is not None and opened.declared_s > limits.max_duration_s:
        raise _too_long(limits)
    sink = MonoSink(limits)
    for block, rate in opened.blocks:
        sink.add(block, rate)
        if sink.native_s > limits.max_duration_s:
            raise _too_long(limits)
    sink.finish()
    if sink.rate:  # what was decoded counts more than what the header says (HE-AAC declares half its rate)
        opened.sample_rate_hz, opened.channels = sink.rate, sink.channels
    return sink


def _too_long(limits: Limits) -> UnreadableAudio:
    hours = f"{limits.max_duration_s / 3600:.3g} hours"
    return UnreadableAudio(f"The recording lasts more than {hours}; cut it into parts and examine these.",
                           code="too-long")


def _check_result(sink: MonoSink, limits: Limits) -> None:
    if sink.native_s == 0:
        raise UnreadableAudio("The file has a header but no audio that can be decoded; ask for another copy.",
                              code="damaged")
    if sink.native_s < limits.min_decodable_s:
        raise UnreadableAudio(f"The recording lasts only {sink.native_s * 1000:.0f} ms; at least "
                              f"{limits.min_decodable_s * 1000:.0f} ms are needed to examine anything.",
                              code="too-short")


def _damage(opened: Opened, sink: MonoSink, is_short: bool) -> list[str]:
    """Warnings about audio that is missing."""
    decoded = format_time(sink.native_s)
    missing = (opened.declared_s or 0.0) - sink.native_s
    if missing > max(0.1, 0.01 * sink.native_s):
        declared = format_time(opened.declared_s)
        return [f"The file is cut off: of the {declared} that it declares, only {decoded} can be examined."]
    if is_short:
        return [f"The file is cut off at its end; the {decoded} that could be decoded are examined."]
    if opened.problem is not None:
        return [f"Parts of the file are damaged; the {decoded} that could be decoded are examined."]
    return []
