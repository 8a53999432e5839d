"""Every encoder that is at hand, at several rates, alone and in tandem: FFmpeg's through PyAV, libsndfile's for GSM.

:data:`ENCODERS` holds the rates of each; :func:`available` says which of them this PyAV and libsndfile really have, by
trying. AMR-WB is in neither. A round trip keeps the length, and its delay is taken out.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import soxr

from core.training.augment import CODECS, SAMPLE_RATE, codec_delay, encode_decode

# name: bit rates in bit/s from mild to severe; 0 where the codec has only one
ENCODERS: dict[str, tuple[int, ...]] = {
    "opus": (32_000, 24_000, 16_000, 12_000, 8_000, 6_000),
    "mp3": (128_000, 64_000, 48_000, 32_000, 24_000, 16_000),
    "aac": (96_000, 64_000, 32_000, 24_000),
    "vorbis": (0,),
    "vorbis-sf": (96_000, 64_000, 48_000),
    "amr-nb": (12_200, 7_950, 5_900, 4_750),
    "g711-mu": (0,),
    "g711-a": (0,),
    "g722": (0,),
    "g726": (32_000, 24_000, 16_000),
    "gsm": (13_000,),
    "adpcm": (0,),
    "sbc": (128_000, 64_000),
    "mp2": (64_000, 32_000),
}
NARROW = ("amr-nb", "g711-mu", "g711-a", "gsm", "g726")  # 8 kHz: a telephone's


def through(x: np.ndarray, name: str, bit_rate: int = 0) -> np.ndarray:
    """One round trip, (n,) float32 at 16 kHz, length kept. Raises ValueError or the encoder's own error."""
    if name in CODECS:
        return encode_decode(x, name, bit_rate or None)
    if name == "gsm":
        return _sndfile(x, 8_000, "WAV", "GSM610", None)
    if name == "vorbis-sf":
        quality = {96_000: 0.4, 64_000: 0.7, 48_000: 1.0}.get(bit_rate, 0.7)
        return _sndfile(x, SAMPLE_RATE, "OGG", "VORBIS", quality)
    raise ValueError(f"there is no codec {name!r}; known are {', '.join(ENCODERS)}")


@lru_cache(maxsize=1)
def available() -> dict[str, tuple[int, ...]]:
    """The encoders and rates that work here, found by trying each once."""
    rng = np.random.default_rng(0)
    x = (0.1 * rng.standard_normal(SAMPLE_RATE // 2)).astype(np.float32)
    found: dict[str, tuple[int, ...]] = {}
    for name, rates in ENCODERS.items():
        good = tuple(rate for rate in rates if _works(x, name, rate))
        if good:
            found[name] = good
    return found


def _works(x: np.ndarray, name: str, rate: int) -> bool:
    try:
        y = through(x, name, rate)
    except Exception:  # whatever an encoder that isn't there raises
        return False
    return len(y) == len(x) and bool(np.isfinite(y).all()) and float(np.abs(y).max()) > 1e-4


def random_codec(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random available encoder at a random one of its rates."""
    known = available()
    name = str(rng.choice(list(known)))
    return through(x, name, int(rng.choice(known[name])))


def tandem(x: np.ndarray, rng: np.random.Generator, *, times: int | None = None) -> np.ndarray:
    """Two or three codecs one after the other, as a message that is sent on goes through."""
    for _ in range(int(rng.integers(2, 4)) if times is None else times):
        x = random_codec(x, rng)
    return x


def _aligned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    y = y[codec_delay(x, y) :][: len(x)].astype(np.float32)
    return np.pad(y, (0, len(x) - len(y)))


def _sndfile(x: np.ndarray, rate: int, container: str, subtype: str, compression: float | None) -> np.ndarray:
    import soundfile as sf

    source = soxr.resample(x, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else x
    file = io.BytesIO()
    options = {} if compression is None else {"compression_level": compression}
    sf.write(file, np.clip(source, -1, 1), rate, format=container, subtype=subtype, **options)
    file.seek(0)
    y, _ = sf.read(file, dtype="float32")
    return _aligned(x, soxr.resample(y, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else y)
