"""Copy-synthesis: resynthesise a bona fide clip, so that a matched spoof differs in nothing but the synthesis.

Each copier takes and returns float32 (n,) at 16 kHz and a generator for its random settings.

References
----------
Morise et al. 2016, "WORLD".  Griffin & Lim 1984.  Makhoul 1975 (linear prediction).
Wang & Yamagishi 2023, arXiv 2210.10570 (vocoded speech as training data for spoofing detectors).
Rowe 2010, "Codec 2".  Copies by small neural vocoders: ``core.training.vocoders``; by published
ones: ``core.training.copies_published``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.training import copies_published

SAMPLE_RATE = 16_000


def world(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """WORLD analysis and synthesis; random frame period, half of the time with coded envelope and aperiodicity."""
    import pyworld

    signal = x.astype(np.float64)
    period = float(rng.choice([5.0, 8.0, 10.0]))
    f0, times = pyworld.harvest(signal, SAMPLE_RATE, frame_period=period)
    envelope = pyworld.cheaptrick(signal, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(signal, f0, times, SAMPLE_RATE)
    if rng.random() < 0.5:  # what statistical synthesis passes on: few coefficients
        size = (envelope.shape[1] - 1) * 2
        coded = pyworld.code_spectral_envelope(envelope, SAMPLE_RATE, int(rng.choice([24, 40, 60])))
        envelope = pyworld.decode_spectral_envelope(coded, SAMPLE_RATE, size)
        aperiodicity = pyworld.decode_aperiodicity(pyworld.code_aperiodicity(aperiodicity, SAMPLE_RATE),
                                                   SAMPLE_RATE, size)
    y = pyworld.synthesize(f0, envelope, aperiodicity, SAMPLE_RATE, period)
    return _fit(y, len(x))


def griffin_lim(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mel spectrogram of random resolution, inverted by non-negative pseudo-inverse and 12-60 fast Griffin-Lim steps."""
    import librosa

    hop = int(rng.choice([160, 200, 256]))
    n_mels = int(rng.choice([60, 80, 100, 128]))
    magnitude = np.abs(librosa.stft(x, n_fft=1024, hop_length=hop, win_length=800))
    bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=1024, n_mels=n_mels)
    linear = np.maximum(np.linalg.pinv(bank) @ (bank @ magnitude), 1e-6)
    y = librosa.griffinlim(linear.astype(np.float32), n_iter=int(rng.integers(12, 61)), hop_length=hop,
                           win_length=800, n_fft=1024, momentum=0.9, random_state=int(rng.integers(2**31)))
    return _fit(y, len(x))


def linear_prediction(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """LPC vocoder: order 16-24 envelope per 20 ms, excited by pulses at the voiced pitch and noise elsewhere."""
    import pyworld
    from scipy import signal as dsp

    hop, size, order = 160, 400, int(rng.integers(16, 25))
    f0, _ = pyworld.harvest(x.astype(np.float64), SAMPLE_RATE, frame_period=10.0)
    excitation = _pulses_and_noise(f0, hop, len(x), rng)
    window = np.hanning(size)
    y = np.zeros(len(x) + size)
    for start in range(0, len(x) - size, hop):
        frame = x[start : start + size] * window
        r = np.correlate(frame, frame, "full")[size - 1 : size + order]
        if r[0] < 1e-7:
            continue
        r[0] *= 1.0001
        coefficients = np.concatenate([[1.0], -np.linalg.solve(_toeplitz(r[:order]), r[1:])])
        source = excitation[start : start + size]
        part = dsp.lfilter([1.0], coefficients, source) * window
        gain = np.sqrt(np.sum(frame**2) / (np.sum(part**2) + 1e-9))
        y[start : start + size] += part * gain
    return _fit(y, len(x))


def phase_vocoder(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """True magnitude, invented phase: smoothed or few-iteration phase recovery from the linear spectrogram."""
    import librosa

    hop = int(rng.choice([128, 160, 256]))
    magnitude = np.abs(librosa.stft(x, n_fft=1024, hop_length=hop))
    y = librosa.griffinlim(magnitude, n_iter=int(rng.integers(4, 33)), hop_length=hop, n_fft=1024, momentum=0.9,
                           random_state=int(rng.integers(2**31)))
    return _fit(y, len(x))


def world_conversion(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simple voice conversion by WORLD: pitch moved by 2-7 semitones either way, formants by 4-18 %."""
    import pyworld

    signal = x.astype(np.float64)
    f0, times = pyworld.harvest(signal, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(signal, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(signal, f0, times, SAMPLE_RATE)
    way = float(rng.choice([-1.0, 1.0]))
    pitch, formants = 2 ** (way * rng.uniform(2, 7) / 12), 1 + way * rng.uniform(0.04, 0.18)
    bins = np.arange(envelope.shape[1])
    warped = np.stack([np.exp(np.interp(bins / formants, bins, np.log(row + 1e-16))) for row in envelope])
    return _fit(pyworld.synthesize(f0 * pitch, warped, aperiodicity, SAMPLE_RATE), len(x))


CODEC2_RATES = ("3200", "2400", "1600", "1300", "700C")


def codec2(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codec 2 (a sinusoidal vocoder, 8 kHz) at a random rate, half of the time with the original's band above 3.8 kHz
    put back, so that the bandwidth doesn't give it away. Raises RuntimeError where c2enc and c2dec aren't installed.
    """
    import subprocess
    import tempfile
    from pathlib import Path

    import soxr
    from scipy import signal as dsp

    if absent("codec2"):
        raise RuntimeError(f"codec2 is {absent('codec2')}")
    rate = str(rng.choice(CODEC2_RATES))
    with tempfile.TemporaryDirectory() as folder:
        raw, bits, out = (str(Path(folder) / name) for name in ("in.raw", "bits", "out.raw"))
        (np.clip(soxr.resample(x, SAMPLE_RATE, 8_000), -1, 1) * 32767).astype("<i2").tofile(raw)
        for command in (["c2enc", rate, raw, bits], ["c2dec", rate, bits, out]):
            subprocess.run(command, check=False, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        decoded = np.fromfile(out, "<i2").astype(np.float32) / 32768 if Path(out).exists() else np.zeros(0, np.float32)
    if not len(decoded):
        raise RuntimeError(f"codec2 at {rate} bit/s gave no audio")
    y = _fit(soxr.resample(decoded, 8_000, SAMPLE_RATE), len(x))
    if rng.random() < 0.5:
        y = y + dsp.sosfiltfilt(dsp.butter(8, 3_800, "highpass", fs=SAMPLE_RATE, output="sos"), x)
    return _fit(y, len(x))


def _published(name: str) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """A published vocoder's copy, of the original's length and never above full scale."""
    copy = copies_published.copier(name)
    return lambda x, rng: _fit(copy(x, rng), len(x))


COPIERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "world": world, "griffin-lim": griffin_lim, "lpc": linear_prediction, "phase": phase_vocoder,
    "world-vc": world_conversion, "codec2": codec2,
    **{name: _published(name) for name in copies_published.WEIGHTS},
}


def absent(name: str) -> str:
    """"" where a copier can work on this machine, else what is missing and how to get it."""
    import importlib.util
    import shutil

    if name in ("world", "world-vc", "lpc") and importlib.util.find_spec("pyworld") is None:
        return "absent: pip install pyworld"
    if name in copies_published.WEIGHTS:
        return copies_published.absent(name)
    if name == "codec2" and not (shutil.which("c2enc") and shutil.which("c2dec")):
        return "absent: apt-get install codec2"
    return ""


def _pulses_and_noise(f0: np.ndarray, hop: int, n: int, rng: np.random.Generator) -> np.ndarray:
    track = np.repeat(f0, hop)[:n]
    track = np.pad(track, (0, n - len(track)))
    phase = np.cumsum(track / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE / np.maximum(track, 60.0))
    return np.where(track > 0, pulses + 0.1 * rng.standard_normal(n), rng.standard_normal(n))


def _toeplitz(r: np.ndarray) -> np.ndarray:
    index = np.abs(np.subtract.outer(np.arange(len(r)), np.arange(len(r))))
    return r[index]


def _fit(y: np.ndarray, n: int) -> np.ndarray:
    """Trim or pad to n samples, never above full scale."""
    y = np.pad(y[:n], (0, max(0, n - len(y)))).astype(np.float32)
    return y / max(1.0, float(np.abs(y).max()))
