"""What a recording's container says and shows: names, tags, declared lengths, bandwidth.

Reads headers and long-term spectra only; decoding is in ``audio_decode``, the public entrance in ``audio``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from core.settings import LIMITS, Limits


@dataclass(frozen=True)
class ContainerFacts:
    """Facts about the original bytes. ``bandwidth_hz`` is the highest frequency with energy (0 if none)."""

    container: str
    codec: str
    sample_rate_hz: int
    bit_depth: int | None
    channels: int
    duration_s: float
    bit_rate_bps: int | None
    tags: Mapping[str, str]
    bandwidth_hz: float
    decoder: str
    n_bytes: int


def clean_text(text: str, max_chars: int) -> str:
    """Text without control, formatting, surrogate or unassigned characters, spaces collapsed, bounded."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(" " if c.isspace() else c for c in text
                   if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())[:max_chars].strip()


def safe_name(name: str | None, limits: Limits = LIMITS) -> str:
    """A display name: the last path component without control or direction marks, at most 120 characters.

    For showing only, never for opening a file. An unusable name becomes ``recording``.
    """
    last = clean_text((name or "").replace("\\", "/"), 10_000).rstrip("/ ").rsplit("/", 1)[-1].strip()
    if not last.strip(". "):
        return "recording"
    if len(last) <= limits.max_name_chars:
        return last
    suffix = PurePosixPath(last).suffix
    suffix = suffix if len(suffix) <= 10 else ""
    return last[: limits.max_name_chars - len(suffix) - 1].rstrip() + "…" + suffix


def clean_tags(tags: Iterable[tuple[str, str]], limits: Limits = LIMITS) -> dict[str, str]:
    """Tags as plain bounded text, lower-case keys, empty ones left out."""
    cleaned: dict[str, str] = {}
    for key, value in tags:
        key, value = clean_text(str(key), 40).lower(), clean_text(str(value), limits.max_tag_chars)
        if key and value and len(cleaned) < limits.max_tags:
            cleaned[key] = value
    return cleaned


def shortfall(stream: BinaryIO, n_bytes: int) -> bool:
    """True if the container itself shows that the file was cut off (RIFF/WAVE data size, Ogg end flag)."""
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _riff_is_short(stream, n_bytes)
    if head[:4] == b"OggS":
        return _ogg_is_short(stream, n_bytes)
    return False


def _riff_is_short(stream: BinaryIO, n_bytes: int) -> bool:
    position = 12
    for _ in range(1000):  # chunks; a file of thousands of them is left to the decoder
        stream.seek(position)
        header = stream.read(8)
        if len(header) < 8:
            return False
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":  # 0 and sizes near 2 or 4 GiB come from writers that couldn't seek back
            return 0 < size < 0x7FFF_F000 and position + 8 + size > n_bytes
        position += 8 + size + (size & 1)
    return False


def _ogg_is_short(stream: BinaryIO, n_bytes: int) -> bool:
    """An Ogg stream is whole if its last page begins within 64 KiB of the end and carries the end flag."""
    stream.seek(max(0, n_bytes - 70_000))
    tail = stream.read(70_000)
    last = tail.rfind(b"OggS")
    return last < 0 or last + 5 >= len(tail) or not tail[last + 5] & 4


class LongTermSpectrum:
    """Running long-term spectrum at the original rate, for the bandwidth cut-off.

    Hann frames of about 43 to 64 ms, every second one for the first minutes and every 32nd later, so that
    an hour costs little. The mean is taken over the fourth root of the power: one click, which is wide-band,
    then can't lift the whole spectrum as it would in a mean of powers.
    """

    DENSE_FRAMES = 4_000

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.n_fft = 1 << max(8, round(np.log2(rate * 0.05)))
        self._window = np.hanning(self.n_fft + 1)[:-1].astype(np.float32)
        self._sum = np.zeros(self.n_fft // 2 + 1)
        self._count = 0

    def add(self, mono: np.ndarray) -> None:
        """Take in a block, float32 [shape=(n,)]. Shorter than a frame, it counts only if first."""
        from scipy.fft import rfft

        if len(mono) < self.n_fft:
            if self._count:
                return
            mono = np.pad(mono, (0, self.n_fft - len(mono)))
        frames = mono[: len(mono) // self.n_fft * self.n_fft].reshape(-1, self.n_fft)  # (F, n_fft)
        frames = frames[:: 2 if self._count < self.DENSE_FRAMES else 32]
        for part in np.array_split(frames, max(1, len(frames) // 64)):  # stays within the cache
            spectrum = rfft(part * self._window, axis=1)  # (f, n_fft/2 + 1)
            power = spectrum.real**2 + spectrum.imag**2
            self._sum += np.sqrt(np.sqrt(power)).sum(axis=0)
        self._count += len(frames)

    def level_db(self) -> np.ndarray:
        """Level per bin in dB, smoothed over about 150 Hz; a full-scale sine has 0 dB before smoothing."""
        mean = (self._sum / max(1, self._count)) ** 4 / (self.n_fft / 4) ** 2
        width = max(1, round(150 / (self.rate / self.n_fft)))
        kernel = np.ones(width) / width
        smooth = np.convolve(mean, kernel, "same") / np.convolve(np.ones_like(mean), kernel, "same")
        return 10 * np.log10(np.maximum(smooth, 1e-30))

    def bandwidth_hz(self, below_peak_db: float = 65.0, floor_db: float = -118.0) -> float:
        """Highest frequency whose smoothed level is near enough to the strongest and above a floor."""
        level = self.level_db()
        above = np.flatnonzero(level > max(level.max() - below_peak_db, floor_db))
        return float(above[-1] * self.rate / self.n_fft) if len(above) else 0.0
