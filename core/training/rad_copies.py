"""Noisy and coded copies of known recordings: what the library's map learns to overlook, and what it is tested with.

A copy's name says how it was made: "white-20" (noise and dB below the speech), "mp3" (a codec at one rate), "mixed-0"
(noise of a random colour at 10 to 30 dB, for fitting). Always the same for the same clip.

Pink and white noise are stationary; babble is six other people of the corpus, speaking at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.library.nuisance import noisy
from core.noise import add_at_snr, coloured_noise
from core.training.augment import encode_decode
from core.training.corpus import Clip, load_views

EXPONENTS = {"white": 0.0, "pink": 1.0}
RATES = {"mp3": 32_000, "opus": 12_000, "amr-nb": 7_950}  # bit/s
FITTED = ("mixed-0", "mixed-1")  # what the map is fitted on, beside the working folder's degraded views
TESTED = (*(f"{kind}-{snr}" for kind in ("white", "pink", "babble") for snr in (30, 20, 10)), *RATES)
VOICES = 6  # in a babble
EVERY = 3  # of the clips, one is tested


class Copies:
    """Makes copies of the clean view of a prepared corpus."""

    def __init__(self, work: Path, clips: Sequence[Clip]) -> None:
        self.work, self.clips = work, clips
        self.originals = [i for i, c in enumerate(clips) if not c.copier]
        self.voices = [i for i in self.originals if clips[i].bonafide]

    def numbers(self, name: str) -> list[int]:
        """Clips that have this copy: all originals for fitting, every third for testing."""
        return self.originals if name in FITTED else self.originals[::EVERY]

    def clean(self, number: int) -> np.ndarray:
        """float32 (n,) at 16 kHz."""
        return load_views(self.work, self.clips[number])[0].astype(np.float32) / 32768.0

    def make(self, number: int, name: str) -> np.ndarray:
        """The copy of one clip, as long as the clip. Raises KeyError for a name that isn't known."""
        x = self.clean(number)
        rng = np.random.default_rng(zlib.crc32(f"{name} {self.clips[number].clip}".encode()))
        if name in RATES:
            return encode_decode(x, name, RATES[name])
        kind, _, snr = name.partition("-")
        if kind == "mixed":
            return noisy(x, rng)
        hiss = self._babble(number, len(x), rng) if kind == "babble" else coloured_noise(len(x), EXPONENTS[kind], rng)
        return add_at_snr(x, hiss, float(snr))

    def _babble(self, number: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Six clips of other speakers and sources, each at the same power, (n,)."""
        own, total = self.clips[number], np.zeros(n, np.float32)
        others = [i for i in self.voices if self.clips[i].source != own.source and self.clips[i].speaker != own.speaker]
        for i in rng.choice(others, VOICES, replace=False):
            voice = np.resize(np.roll(self.clean(int(i)), int(rng.integers(16_000))), n)
            total += voice / (voice.std() + 1e-6)
        return total
