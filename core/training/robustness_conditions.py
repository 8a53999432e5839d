"""What a recording may have gone through, one condition at a time and at stated levels: the rows of the robustness table.

Unlike ``core.training.augment``, which draws random chains to train with, each condition here is one degradation at one
fixed level; only what is noise in itself is drawn, from the generator it is given. All take and return mono float32 at
16 kHz of the same length. The encoders are real ones (FFmpeg's through PyAV, libsndfile's for GSM and Vorbis).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

SAMPLE_RATE = 16_000
PEAK = 0.99
PACKET = 320  # samples of 20 ms
Degradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """One row to be: what is done, at which level; ``telephone``: what is left is a telephone's quality at best."""

    name: str
    level: str
    kind: str  # noise | codec | tandem | band | room | transmission | level
    make: Degradation
    telephone: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} | {self.level}"

    def apply(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """x (n,) float32 at 16 kHz -> (n,) float32, finite, within full scale. Raises what the encoder raises."""
        return applied(self.make, np.asarray(x, np.float32), rng)


def applied(make: Degradation, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a degradation makes of x (n,) -> (n,) float32, cut or padded, within full scale. Raises ValueError where it
    isn't finite, and what the encoder raises.
    """
    y = np.asarray(make(x, rng), np.float32)[: len(x)]
    y = np.pad(y, (0, len(x) - len(y)))
    if not np.isfinite(y).all():
        raise ValueError("the degradation gave samples that are not finite")
    return y * np.float32(min(1.0, PEAK / max(1e-9, float(np.abs(y).max(initial=0)))))


# ---- noise -----------------------------------------------------------------------------------------------------


def white(x: np.ndarray, rng: np.random.Generator, *, snr_db: float) -> np.ndarray:
    """Stationary white Gaussian noise at an overall signal-to-noise ratio."""
    return _at_snr(x, rng.standard_normal(len(x)), snr_db)


def babble(x: np.ndarray, rng: np.random.Generator, *, snr_db: float, talkers: int = 6) -> np.ndarray:
    """Babble-like noise: several synthetic talkers, each a buzz and breath through three resonances with the rhythm of
    syllables. It has a crowd's spectrum and modulation, and nobody's voice.
    """
    return _at_snr(x, sum(_talker(len(x), rng) for _ in range(talkers)), snr_db)


def _talker(n: int, rng: np.random.Generator) -> np.ndarray:
    from scipy import signal

    t = np.arange(n) / SAMPLE_RATE
    pitch_hz = rng.uniform(90, 240) * (1 + 0.12 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * t + rng.uniform(0, 6.3)))
    phase = np.cumsum(pitch_hz) / SAMPLE_RATE
    buzz = np.diff(np.floor(phase), prepend=0.0) + 0.05 * rng.standard_normal(n)
    y = signal.lfilter([1.0], [1.0, -0.96], buzz)
    for centre in (rng.uniform(350, 800), rng.uniform(1_000, 2_000), rng.uniform(2_300, 3_200)):
        b, a = signal.iirpeak(centre, 6.0, fs=SAMPLE_RATE)
        y = y * 0.3 + signal.lfilter(b, a, y)
    rhythm = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(3, 5) * t + rng.uniform(0, 6.3))
    phrase = 0.7 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * t + rng.uniform(0, 6.3))
    y = y * rhythm * phrase
    return y / (y.std() + 1e-12)


def _at_snr(x: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    power, other = float(np.mean(np.square(x, dtype=np.float64))), float(np.mean(np.square(noise)))
    if power <= 0 or other <= 0:
        return x
    return x + noise * np.sqrt(power / other / 10 ** (snr_db / 10))


# ---- codecs ----------------------------------------------------------------------------------------------------


def through(x: np.ndarray, rng: np.random.Generator, *, codec: str, bit_rate: int | None = None) -> np.ndarray:
    """One round trip through an encoder of ``augment.CODECS``."""
    from core.training.augment import encode_decode

    return encode_decode(x, codec, bit_rate)


def through_sndfile(x: np.ndarray, rng: np.random.Generator, *, rate_hz: int, container: str, subtype: str,
                    compression: float | None = None) -> np.ndarray:
    """One round trip through an encoder of libsndfile, its delay taken out."""
    import soundfile as sf
    import soxr

    from core.training.augment import codec_delay

    source = soxr.resample(x, SAMPLE_RATE, rate_hz) if rate_hz != SAMPLE_RATE else x
    file = io.BytesIO()
    options = {} if compression is None else {"compression_level": compression}
    sf.write(file, np.clip(source, -1, 1), rate_hz, format=container, subtype=subtype, **options)
    file.seek(0)
    y, rate = sf.read(file, dtype="float32")
    y = soxr.resample(y, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else y
    return y[codec_delay(x, y):]


def in_turn(x: np.ndarray, rng: np.random.Generator, *, steps: tuple[Degradation, ...]) -> np.ndarray:
    """One degradation after the other, each given as long a signal as ``x``."""
    for step in steps:
        y = np.asarray(step(x, rng), np.float32)[: len(x)]
        x = np.pad(y, (0, len(x) - len(y)))
    return x


# ---- band, room, transmission, level ---------------------------------------------------------------------------


def resampled(x: np.ndarray, rng: np.random.Generator, *, rate_hz: int) -> np.ndarray:
    """To another sample rate and back."""
    import soxr

    return soxr.resample(soxr.resample(x, SAMPLE_RATE, rate_hz), rate_hz, SAMPLE_RATE)


def telephone_band(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """300 to 3,400 Hz, as the telephone network passes it; no codec."""
    from scipy import signal

    return signal.sosfilt(signal.butter(5, (300, 3_400), "bandpass", fs=SAMPLE_RATE, output="sos"), x)


def room(x: np.ndarray, rng: np.random.Generator, *, rt60_s: float, direct_db: float) -> np.ndarray:
    """A diffuse room: the direct sound, and noise that decays by 60 dB in ``rt60_s``, ``direct_db`` below it."""
    from scipy import signal

    t = np.arange(int(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(t.size) * 10 ** (-3 * t / rt60_s)
    tail[: int(0.003 * SAMPLE_RATE)] = 0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return signal.fftconvolve(x, tail)[: len(x)]


def lost_packets(x: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Packets of 20 ms replaced by silence, independently of each other."""
    y = x.copy()
    for start in np.flatnonzero(rng.random(-(-len(x) // PACKET)) < share) * PACKET:
        y[start : start + PACKET] = 0
    return y


def clipped(x: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """The loudest ``share`` of the samples cut off, then as loud as before."""
    limit = float(np.quantile(np.abs(x), 1 - share)) + 1e-9
    y = np.clip(x, -limit, limit)
    return y * float(np.sqrt((np.mean(x**2) + 1e-12) / (np.mean(y**2) + 1e-12)))


def at_level(x: np.ndarray, rng: np.random.Generator, *, dbfs: float) -> np.ndarray:
    """Scaled to an RMS level, then to the 16-bit steps that a file at that level would have."""
    y = x * (10 ** (dbfs / 20) / (float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-12))
    return np.round(np.clip(y, -1, 1) * 32_767) / 32_767


def _all() -> tuple[Condition, ...]:
    made: list[Condition] = []

    def add(name: str, level: str, kind: str, make: Degradation, telephone: bool = False) -> None:
        made.append(Condition(name, level, kind, make, telephone))

    for name, function in (("white noise", white), ("babble-like noise", babble)):
        for snr in (30, 20, 10, 5):
            add(name, f"{snr} dB SNR", "noise", partial(function, snr_db=float(snr)))
    for name, codec, rates in (("MP3", "mp3", (128, 64, 32)), ("AAC", "aac", (64, 32)), ("Opus", "opus", (24, 12, 6))):
        for rate in rates:
            add(name, f"{rate} kbit/s", "codec", partial(through, codec=codec, bit_rate=rate * 1000))
    vorbis = partial(through_sndfile, rate_hz=SAMPLE_RATE, container="OGG", subtype="VORBIS")
    add("Vorbis", "quality 0.4", "codec", partial(vorbis, compression=0.6))
    add("Vorbis", "quality 0", "codec", partial(vorbis, compression=1.0))
    add("G.722", "64 kbit/s", "codec", partial(through, codec="g722"))
    mu, a_law = partial(through, codec="g711-mu"), partial(through, codec="g711-a")
    gsm = partial(through_sndfile, rate_hz=8_000, container="WAV", subtype="GSM610")
    add("G.711 mu-law", "8 kHz", "codec", mu, True)
    add("G.711 A-law", "8 kHz", "codec", a_law, True)
    add("GSM full rate", "13 kbit/s", "codec", gsm, True)
    for rate in (12_200, 7_950, 4_750):
        add("AMR-NB", f"{rate / 1000:g} kbit/s", "codec", partial(through, codec="amr-nb", bit_rate=rate), True)
    amr, mp3 = partial(through, codec="amr-nb", bit_rate=12_200), partial(through, codec="mp3", bit_rate=64_000)
    opus = partial(through, codec="opus", bit_rate=12_000)
    add("tandem", "Opus 12, then MP3 64 kbit/s", "tandem", partial(in_turn, steps=(opus, mp3)))
    add("tandem", "AMR-NB 12.2, then G.711 A-law", "tandem", partial(in_turn, steps=(amr, a_law)), True)
    add("tandem", "GSM, then MP3 64 kbit/s", "tandem", partial(in_turn, steps=(gsm, mp3)), True)
    add("band limit", "4 kHz (8 kHz sample rate)", "band", partial(resampled, rate_hz=8_000), True)
    add("band limit", "300 to 3,400 Hz", "band", telephone_band, True)
    for rate in (11_025, 22_050, 44_100):
        add("resampling", f"through {rate:,} Hz", "band", partial(resampled, rate_hz=rate))
    for rt60, direct in ((0.3, 6.0), (0.6, 0.0), (1.0, -3.0)):
        level = f"RT60 {rt60:g} s, direct {direct:+.0f} dB".replace("-", "−").replace("+0", "0")
        add("room", level, "room", partial(room, rt60_s=rt60, direct_db=direct))
    for share in (0.01, 0.05, 0.1):
        add("packet loss", f"{share:.0%} of 20 ms packets", "transmission", partial(lost_packets, share=share))
    for share in (0.01, 0.05, 0.1):
        add("clipping", f"{share:.0%} of samples", "level", partial(clipped, share=share))
    for dbfs in (-12, -35, -50):
        add("level", f"{dbfs} dBFS RMS".replace("-", "−"), "level", partial(at_level, dbfs=float(dbfs)))
    return tuple(made)


CONDITIONS = _all()
# What belongs into the table and the pinned libraries can't encode: said in the card, not left out silently.
NOT_MEASURED = (("AMR-WB", "all rates", "neither the pinned PyAV nor libsndfile has an AMR-WB encoder"),)
