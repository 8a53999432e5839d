"""Makers of test material: speech-like signals and the bytes of audio files, from arrays and seeds alone.

No files, no network, no real voices. Every signal is mono float32 unless said otherwise; every maker is
reproducible from its arguments.
"""

from __future__ import annotations

import io
import tempfile
from fractions import Fraction

import numpy as np
import soundfile
from scipy.signal import lfilter

from core.audio import Recording, read_recording

RATE = 16_000
VOWELS = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480],
                   [570, 840, 2410]])  # formants in Hz


# -- signals -----------------------------------------------------------------------------------------------

def voiced(seconds: float = 4.0, seed: int = 0, *, rate: int = RATE, pitch_hz: float = 120.0,
           level: float = 0.3, jitter: float = 0.08) -> np.ndarray:
    """A speech-like signal: syllables of gliding pitch through vowel formants, hisses, pauses now and then.

    Passes every fatal quality check from about two seconds on; carries no words.
    """
    rng = np.random.default_rng(seed)
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < seconds * rate:
        if len(pieces) % 8 == 7:
            pieces.append(np.zeros(int(rng.uniform(0.15, 0.35) * rate)))
        pieces.append(_hiss(rng, rate))
        pieces.append(_syllable(rng, rate, pitch_hz * (1 + jitter * rng.standard_normal())))
    sound = np.concatenate(pieces)[: round(seconds * rate)]
    sound += 1e-4 * np.abs(sound).max() * rng.standard_normal(len(sound))
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def _syllable(rng: np.random.Generator, rate: int, pitch_hz: float) -> np.ndarray:
    n = int(rng.uniform(0.14, 0.28) * rate)
    pitch = pitch_hz * np.linspace(1.12, 0.9, n) * (1 + 0.02 * np.sin(2 * np.pi * 5 * np.arange(n) / rate))
    pulses = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0.0)
    sound = lfilter([1.0], [1.0, -0.96], pulses - pulses.mean())
    for formant in VOWELS[rng.integers(len(VOWELS))] * rng.uniform(0.9, 1.1):
        if formant < 0.45 * rate:
            radius, angle = np.exp(-np.pi * 90 / rate), 2 * np.pi * formant / rate
            sound = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
    return sound / (np.abs(sound).max() + 1e-12) * np.hanning(n) ** 0.5


def _hiss(rng: np.random.Generator, rate: int) -> np.ndarray:
    n = int(rng.uniform(0.04, 0.09) * rate)
    return 0.08 * lfilter([1, -0.9], [1], rng.standard_normal(n)) * np.hanning(n)


def tone(hz: float | tuple[float, ...] = 440.0, seconds: float = 3.0, *, rate: int = RATE,
         level: float = 0.3) -> np.ndarray:
    """One sine, or a chord if several frequencies are given."""
    t = np.arange(round(seconds * rate)) / rate
    frequencies = np.atleast_1d(hz)
    return (level / len(frequencies) * sum(np.sin(2 * np.pi * f * t) for f in frequencies)).astype(np.float32)


def melody(seconds: float = 5.0, seed: int = 0, *, note_s: float = 0.4, rate: int = RATE) -> np.ndarray:
    """Plucked three-note chords in a row."""
    rng, n = np.random.default_rng(seed), int(note_s * rate)
    t = np.arange(n) / rate
    scale = np.array([220.0, 247, 262, 294, 330, 349, 392, 440])
    chords = [sum(np.sin(2 * np.pi * k * f * t) / k for f in rng.choice(scale, 3, replace=False)
                  for k in range(1, 6)) * np.exp(-3 * t) for _ in range(int(seconds / note_s) + 1)]
    sound = np.concatenate(chords)[: round(seconds * rate)]
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def noise(seconds: float = 3.0, seed: int = 0, *, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    """White Gaussian noise of the given effective value."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def with_noise(sound: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    """The sound plus white noise at a signal-to-noise ratio over the whole length."""
    added = np.random.default_rng(seed).standard_normal(len(sound))
    added *= np.sqrt(np.mean(sound.astype(float) ** 2) / np.mean(added**2) / 10 ** (snr_db / 10))
    return (sound + added).astype(np.float32)


# -- bytes -------------------------------------------------------------------------------------------------

def sound_bytes(samples: np.ndarray, rate: int = RATE, kind: str = "WAV",
                subtype: str | None = "PCM_16") -> bytes:
    """A file by libsndfile: kind WAV, FLAC, OGG (VORBIS, OPUS), MP3, ...; samples [n] or [n, channels]."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1 if samples.ndim == 1 else samples.shape[1],
                             format=kind, subtype=subtype) as sound:
        for start in range(0, len(samples), 1 << 16):  # some encoders overflow their stack on long blocks
            sound.write(samples[start : start + (1 << 16)])
    return buffer.getvalue()


AV_KINDS = {  # name: (container, encoder, rate, options)
    "m4a": ("ipod", "aac", 44_100, {}),
    "m4a-faststart": ("ipod", "aac", 44_100, {"movflags": "faststart"}),
    "alac": ("ipod", "alac", 44_100, {}),
    "aac": ("adts", "aac", 44_100, {}),
    "mp4": ("mp4", "aac", 48_000, {}),
    "webm": ("webm", "libopus", 48_000, {}),
    "opus": ("ogg", "libopus", 48_000, {}),
    "amr": ("amr", "libopencore_amrnb", 8_000, {}),
    "wma": ("asf", "wmav2", 44_100, {}),
    "mp3": ("mp3", "libmp3lame", 44_100, {}),
    "mka": ("matroska", "flac", 44_100, {}),
}


def av_bytes(samples: np.ndarray, kind: str, *, rate: int = RATE, video: bool = False, tracks: int = 1,
             tags: dict[str, str] | None = None) -> bytes:
    """A file by FFmpeg of a kind of ``AV_KINDS`` from mono samples at ``rate``; with pictures if wanted."""
    import av

    form, encoder, target, options = AV_KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:  # some containers are reopened to move their index
        path = f"{folder}/made"
        with av.open(path, "w", format=form, options=options) as container:
            container.metadata.update(tags or {})
            pictures = _add_video(container) if video else None
            sounds = [container.add_stream(encoder, rate=target, layout="mono") for _ in range(tracks)]
            for track in sounds:
                track.bit_rate = 64_000
            container.start_encoding()
            for track in sounds:
                _write_sound(container, track, samples, rate, target)
            if pictures is not None:
                _write_video(container, pictures, len(samples) / rate)
        with open(path, "rb") as made:
            return made.read()


def _write_sound(container, track, samples: np.ndarray, rate: int, target: int) -> None:
    import av

    context = track.codec_context
    resampler = av.AudioResampler(format=context.format, layout="mono", rate=target,
                                  frame_size=context.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(track.encode(part))
    container.mux(track.encode(None))


def _add_video(container):
    pictures = container.add_stream("mpeg4", rate=5)
    pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
    return pictures


def _write_video(container, pictures, seconds: float) -> None:
    import av

    for i in range(max(1, int(seconds * 5))):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (40 * i) % 255, np.uint8), "rgb24")
        frame.pts, frame.time_base = i, Fraction(1, 5)
        container.mux(pictures.encode(frame))
    container.mux(pictures.encode(None))


def recording(samples: np.ndarray, name: str = "test.wav", *, rate: int = RATE,
              subtype: str = "FLOAT") -> Recording:
    """Samples as a ``Recording``, by way of a wav file (32-bit float: no rounding)."""
    return read_recording(sound_bytes(samples, rate, "WAV", subtype), name)
