"""Degradations that both classes go through alike: rooms, noise, filters, codecs, band limits, level, trimming.

Each function takes and returns mono float32 at 16 kHz and a ``numpy.random.Generator``; :func:`degrade` draws a
chain (``augment_chain``). The distribution never looks at the label, so that nothing here tells the classes apart.

References
----------
Tak et al. 2022, "RawBoost", arXiv 2111.04433 (random notch filters).  Codecs are the real encoders behind PyAV.
"""

from __future__ import annotations

import io

import numpy as np
import soxr
from scipy import signal

from core.noise import add_at_snr, coloured_noise

SAMPLE_RATE = 16_000
PEAK = 0.97

# container, codec, sample rate in Hz, bit rates in bit/s (None: fixed by the codec)
CODECS: dict[str, tuple[str, str, int, tuple[int | None, ...]]] = {
    "mp3": ("mp3", "libmp3lame", 16_000, (16_000, 24_000, 32_000, 48_000, 64_000)),
    "mp3-44k": ("mp3", "libmp3lame", 44_100, (64_000, 96_000, 128_000)),
    "aac": ("adts", "aac", 16_000, (16_000, 24_000, 32_000, 64_000)),
    "opus": ("ogg", "libopus", 16_000, (8_000, 12_000, 16_000, 24_000, 32_000)),
    "vorbis": ("ogg", "vorbis", 44_100, (None,)),
    "amr-nb": ("amr", "libopencore_amrnb", 8_000, (5_900, 7_950, 12_200)),
    "g711-mu": ("wav", "pcm_mulaw", 8_000, (None,)),
    "g711-a": ("wav", "pcm_alaw", 8_000, (None,)),
    "g722": ("wav", "g722", 16_000, (None,)),
    "adpcm": ("wav", "adpcm_ima_wav", 16_000, (None,)),
    "g726": ("wav", "g726", 8_000, (16_000, 24_000, 32_000)),
    "mp2": ("mp2", "mp2", 16_000, (32_000, 64_000)),
    "sbc": ("sbc", "sbc", 16_000, (64_000, 128_000)),
    "wma": ("asf", "wmav2", 16_000, (24_000, 32_000, 48_000)),
}


EXACT_CODECS = tuple(name for name in CODECS if name != "wma")  # the round trip through WMA does not line up


def encode_decode(x: np.ndarray, name: str, bit_rate: int | None) -> np.ndarray:
    """One real round trip through a codec, trimmed or padded to the input's length.

    x : float32 (n,) at 16 kHz. The codec's delay is taken out, so that frame labels stay exact. Raises ValueError
    if the codec returns nothing.
    """
    import av

    container, codec, rate, _ = CODECS[name]
    source = soxr.resample(x, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else x
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo" if codec == "vorbis" else "mono")
        if codec == "vorbis":  # FFmpeg's own Vorbis encoder: stereo only, experimental
            stream.codec_context.options = {"strict": "experimental"}
            source = np.stack([source, source])
        if bit_rate:
            stream.bit_rate = bit_rate
        pcm = (np.clip(np.atleast_2d(source), -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T.reshape(1, -1)), format="s16",
                                           layout="stereo" if len(pcm) == 2 else "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=stream.codec_context.layout,
                                      rate=rate, frame_size=stream.codec_context.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    buffer.seek(0)
    blocks = []
    with av.open(buffer, format="sbc" if container == "sbc" else None) as decoded:  # has no signature to go by
        to_float = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        for frame in decoded.decode(audio=0):
            blocks += [part.to_ndarray().ravel() for part in to_float.resample(frame)]
        blocks += [part.to_ndarray().ravel() for part in to_float.resample(None)]
    if not blocks:
        raise ValueError(f"{name} returned no audio")
    y = np.concatenate(blocks).astype(np.float32)
    y = y[codec_delay(x, y) :][: len(x)]
    return np.pad(y, (0, len(x) - len(y)))


def codec_delay(x: np.ndarray, y: np.ndarray, most: int = 2_400) -> int:
    """Samples by which y lags x, 0 to ``most``: the highest peak of their cross-correlation. x (n,), y (m,)."""
    n = min(len(x), len(y), 4 * SAMPLE_RATE)
    size = 1 << (n + most).bit_length()
    spectrum = np.fft.rfft(y[: n + most], size) * np.conj(np.fft.rfft(x[:n], size))
    return int(np.argmax(np.abs(np.fft.irfft(spectrum, size)[: most + 1])))


def codec(x: np.ndarray, rng: np.random.Generator, names: tuple[str, ...] = tuple(CODECS)) -> np.ndarray:
    """A random codec of ``names`` at a random one of its rates."""
    name = str(rng.choice(list(names)))
    rates = CODECS[name][3]
    return encode_decode(x, name, rates[int(rng.integers(len(rates)))])


def band_limit(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Low-pass between 2.8 and 7.8 kHz, half of the time with a high-pass between 50 and 300 Hz."""
    high = float(rng.uniform(2_800, 7_800))
    sos = signal.butter(int(rng.integers(4, 11)), high, "lowpass", fs=SAMPLE_RATE, output="sos")
    if rng.random() < 0.5:
        low = signal.butter(2, float(rng.uniform(50, 300)), "highpass", fs=SAMPLE_RATE, output="sos")
        sos = np.concatenate([sos, low])
    return signal.sosfilt(sos, x).astype(np.float32)


def resample_chain(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Down to 8-15 kHz or up to 22-48 kHz and back, with a random resampler quality."""
    rate = int(rng.choice([8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000]))
    quality = str(rng.choice(["LQ", "MQ", "HQ", "VHQ"]))
    y = soxr.resample(soxr.resample(x, SAMPLE_RATE, rate, quality), rate, SAMPLE_RATE, quality)[: len(x)]
    return np.pad(y, (0, len(x) - len(y))).astype(np.float32)


def noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stationary coloured noise (white to brown), sometimes with hum or slow modulation, at 12-40 dB SNR."""
    y = coloured_noise(len(x), float(rng.uniform(0.0, 2.0)), rng)
    t = np.arange(len(x)) / SAMPLE_RATE
    kind = rng.random()
    if kind < 0.2:
        mains = float(rng.choice([50.0, 60.0]))
        y = y * 0.3 + sum(np.sin(2 * np.pi * mains * k * t + rng.uniform(0, 6.3)) / k for k in (1, 2, 3, 5))
    elif kind < 0.4:
        y = y * (1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.3, 4) * t))
    return add_at_snr(x, y.astype(np.float32), float(rng.uniform(12, 40)))


def reverberate(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A synthetic room: direct path, sparse early reflections, exponentially decaying diffuse tail (0.1-0.7 s)."""
    rt60, n = float(rng.uniform(0.1, 0.7)), int(0.5 * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * t / rt60)
    tail[: int(0.004 * SAMPLE_RATE)] = 0
    tail *= 10 ** (float(rng.uniform(-18, 2)) / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    response = tail
    response[0] = 1.0
    for _ in range(int(rng.integers(2, 8))):
        response[int(rng.integers(16, 640))] += rng.uniform(-0.35, 0.35)
    return signal.fftconvolve(x, response)[: len(x)].astype(np.float32)


def equalise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth random response of +-8 dB (microphones, loudspeakers) with up to three notches (RawBoost-like)."""
    knots = np.linspace(0, 1, 8)
    grid = np.linspace(0, 1, 65)
    gain_db = np.interp(grid, knots, rng.uniform(-8, 8, len(knots)))
    for _ in range(int(rng.integers(0, 4))):
        gain_db -= rng.uniform(4, 20) * np.exp(-(((grid - rng.uniform()) / rng.uniform(0.01, 0.05)) ** 2))
    taps = signal.firwin2(129, grid, 10 ** (gain_db / 20))
    return signal.fftconvolve(x, taps, mode="same").astype(np.float32)


def clip_samples(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hard or soft clipping of the loudest 0.1-2 % of samples."""
    limit = float(np.quantile(np.abs(x), 1 - rng.uniform(0.001, 0.02))) + 1e-6
    if rng.random() < 0.5:
        return np.clip(x, -limit, limit).astype(np.float32)
    return (limit * np.tanh(x / limit)).astype(np.float32)


def lose_packets(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drop 1-4 % of 20 ms packets, replaced by silence or by the packet before at half its level."""
    y, size = x.copy(), 320
    for start in np.flatnonzero(rng.random(len(x) // size) < rng.uniform(0.01, 0.04)) * size:
        y[start : start + size] = 0.5 * y[start - size : start] if start >= size and rng.random() < 0.5 else 0.0
    return y


def level(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale to a random level between -40 and -14 dBFS RMS, without clipping."""
    rms = float(np.sqrt(np.mean(x**2))) + 1e-9
    y = x * (10 ** (rng.uniform(-40, -14) / 20) / rms)
    return (y * min(1.0, PEAK / (float(np.abs(y).max()) + 1e-9))).astype(np.float32)


def trim_silence(x: np.ndarray, *, floor_db: float = -40.0, margin_s: float = 0.05) -> np.ndarray:
    """Cut leading and trailing parts more than ``-floor_db`` below the loudest 20 ms, leaving a margin."""
    size = 320
    if len(x) < 4 * size:
        return x
    power = np.mean(x[: len(x) // size * size].reshape(-1, size) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (floor_db / 10))
    margin = int(margin_s * SAMPLE_RATE)
    return x[max(0, loud[0] * size - margin) : min(len(x), (loud[-1] + 1) * size + margin)]


def degrade(x: np.ndarray, rng: np.random.Generator, *, exact: bool = False) -> np.ndarray:
    """One random chain. float32 (n,) at 16 kHz in, same length out, at a random level.

    exact : keep to the codecs whose delay can be taken out, for sounds with frame labels
    """
    from core.training.augment_chain import steps  # its steps build on this file

    y = level(x, rng)
    for step, probability in steps(exact):
        if rng.random() < probability:
            y = step(y, rng)
    return level(np.nan_to_num(y), rng)
