"""Where decoded blocks go: checked, averaged to mono, resampled to 16 kHz, kept in memory or a private file.

Knows nothing of files or codecs. Each block is touched a fixed number of times, all vectorised.
"""

from __future__ import annotations

import tempfile

import numpy as np

from core.audio_facts import LongTermSpectrum
from core.errors import UnreadableAudio
from core.frames import SAMPLE_RATE
from core.settings import Limits


class MonoSink:
    """Takes blocks [n, channels] float32 at some rate; gives mono float32 at 16 kHz.

    Channels are averaged before resampling. A change of rate or channel count inside the stream is followed.
    Raises UnreadableAudio for samples that aren't finite or plausible and for rates or channel counts that no
    recording has.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.rate = 0          # of the first block, Hz
        self.channels = 0      # of the first block
        self.native_s = 0.0    # seconds decoded, at the original rates
        self.peak = 0.0
        self._rate_now = 0
        self._resampler = None
        self._spectrum: LongTermSpectrum | None = None
        self._chunks: list[np.ndarray] = []
        self._held = 0         # samples in _chunks or in _file
        self._file = None
        self._energy = np.zeros(0)   # per channel
        self._mono_energy = 0.0
        self._mixed_rates = False

    def add(self, block: np.ndarray, rate: int) -> None:
        """Take in one block; the caller may overwrite it afterwards."""
        n, channels = block.shape
        if n == 0:
            return
        if rate != self._rate_now:
            self._switch(rate, channels)
        if not 1 <= channels <= self._limits.max_channels:
            raise UnreadableAudio(f"The file has {channels} channels, more than {self._limits.max_channels}; "
                                  "export the ones of interest and try again.", code="channels")
        self._check_values(block)
        mono = block[:, 0] if channels == 1 else block @ np.full(channels, 1.0 / channels, np.float32)  # (n,)
        self._measure(block, mono)
        self.native_s += n / rate
        if rate == self.rate:
            self._spectrum.add(mono)
        self._keep(mono.copy() if self._resampler is None else self._resampler.resample_chunk(mono))

    def finish(self) -> None:
        """Flush the resampler; no more blocks after this."""
        self._flush()

    def samples(self) -> np.ndarray:
        """All samples, float32 [shape=(n,)], read-only; a np.memmap of an unnamed file if there are many."""
        if self._file is not None:
            self._file.flush()
            return np.memmap(self._file, np.float32, "r", shape=(self._held,))
        chunks = self._chunks or [np.zeros(0, np.float32)]
        samples = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        samples.flags.writeable = False
        return samples

    def bandwidth_hz(self) -> float:
        """Highest frequency with energy at the original rate."""
        return self._spectrum.bandwidth_hz() if self._spectrum is not None else 0.0

    def warnings(self) -> list[str]:
        """Sentences about channels and scale."""
        found = []
        if self._mixed_rates:
            found.append("The sample rate changes inside the file; all parts were brought to 16 kHz.")
        if self.peak > 4.0:
            found.append(f"Samples reach {self.peak:.3g} times full scale; the file seems wrongly scaled.")
        if len(self._energy) > 1 and self._energy.max() > 0:
            found += self._channel_warnings()
        return found

    def _channel_warnings(self) -> list[str]:
        count, mean = len(self._energy), self._energy.mean()
        if self._mono_energy < 0.2 / count * mean:
            return [f"The {count} channels largely cancel each other in their average; examine one alone."]
        if self._energy.min() < 0.01 * self._energy.max():
            return [f"The {count} channels differ in level by more than 20 dB; their average is examined."]
        if self._mono_energy < 0.75 * mean:
            return [f"The {count} channels carry different signals; their average is examined."]
        return []

    def _switch(self, rate: int, channels: int) -> None:
        """Start, or follow a change of the sample rate."""
        if not self._limits.min_rate_hz <= rate <= self._limits.max_rate_hz:
            least, most = self._limits.min_rate_hz, self._limits.max_rate_hz
            raise UnreadableAudio(f"The sample rate is {rate} Hz; only {least} to {most} Hz can be examined.",
                                  code="sample-rate")
        if self._rate_now:
            self._flush()
            self._mixed_rates = True
        else:
            self.rate, self.channels = rate, channels
            self._spectrum = LongTermSpectrum(rate)
        self._rate_now, self._resampler = rate, None
        if rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _flush(self) -> None:
        if self._resampler is not None:
            self._keep(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = None

    def _check_values(self, block: np.ndarray) -> None:
        low, high = float(block.min()), float(block.max())  # NaN goes through min and max
        if not (np.isfinite(low) and np.isfinite(high)):
            raise UnreadableAudio("The file has samples that aren't numbers (NaN or infinity); export it "
                                  "again from the program that made it.", code="not-finite")
        self.peak = max(self.peak, high, -low)
        if self.peak > self._limits.max_abs_sample:
            raise UnreadableAudio("The samples are far beyond full scale, so these bytes are no sound; "
                                  "export the recording again.", code="implausible-samples")

    def _measure(self, block: np.ndarray, mono: np.ndarray) -> None:
        if block.shape[1] == 1:
            return
        energy = np.einsum("ij,ij->j", block, block)
        if not len(self._energy):
            self._energy = np.zeros(block.shape[1])
        if len(energy) == len(self._energy):
            self._energy += energy
            self._mono_energy += float(mono @ mono)

    def _keep(self, chunk: np.ndarray) -> None:
        if not len(chunk):
            return
        self._held += len(chunk)
        if self._file is not None:
            self._file.write(np.ascontiguousarray(chunk, np.float32))
            return
        self._chunks.append(chunk)
        if self._held > self._limits.in_memory_s * SAMPLE_RATE:
            self._file = tempfile.TemporaryFile(prefix="earwitness-")  # noqa: SIM115
            for kept in self._chunks:
                self._file.write(np.ascontiguousarray(kept, np.float32))
            self._chunks = []
