"""Make one clip of a corpus: read or have it spoken, cut, trim, copy, degrade, write. Runs in the builder's processes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from core.errors import EarwitnessError
from core.training import augment, copies
from core.training.corpus import MIN_SECONDS, SAMPLE_RATE, _seed, write_views
from core.training.sources_base import SourceItem
from core.training.synthesisers import NotSpoken, speak


@dataclass(frozen=True)
class Job:
    """One clip to make, and where to."""

    item: SourceItem
    into: Path
    views: int
    seed: int
    max_seconds: float
    vocoder: Path | None = None


@dataclass(frozen=True)
class Made:
    """What became of a clip: a reason and its kind where it was dropped. digest: of its sound; offset_s: what was cut off
    its start; seconds: how long it is.
    """

    clip: str
    reason: str = ""
    kind: str = ""
    digest: int = 0
    offset_s: float = 0.0
    seconds: float = 0.0


def make(job: Job) -> Made:
    """Write one clip's views. A full disk raises CorpusError; everything else that fails is told in the result."""
    item, clip = job.item, job.item.clip
    try:
        x = speak(item.speech) if item.speech else read_sound(item.path, item.cut)
        x, offset = usable(x, job.max_seconds)
        digest = zlib.crc32((x * 32767).astype(np.int16).tobytes())
        if not clip.partial:
            x = augment.trim_silence(x)
        rng = np.random.default_rng(_seed(job.seed, clip.clip))
        if clip.copier:
            x = _copied(x, rng, clip.copier, job.vocoder)
        rows = [augment.level(x, rng)] + [augment.degrade(x, rng) for _ in range(job.views - 1)]
    except NotSpoken as error:
        return Made(clip.clip, str(error), "not-spoken")
    except FileNotFoundError:
        return Made(clip.clip, f"{item.path} is not there", "missing")
    except ValueError as error:
        return Made(clip.clip, str(error), "unusable")
    except (OSError, RuntimeError, ImportError, np.linalg.LinAlgError, EarwitnessError) as error:
        return Made(clip.clip, f"{type(error).__name__}: {error}", "not-copied" if clip.copier else "unreadable")
    write_views(job.into / "audio" / f"{clip.clip}.npy", np.stack(rows))
    return Made(clip.clip, "", "", digest, offset / SAMPLE_RATE, len(x) / SAMPLE_RATE)


def read_sound(path: Path | None, cut: tuple[float, float] | None = None) -> np.ndarray:
    """Mono float32 at 16 kHz of a file, or of a stretch (start_s, stop_s) of it. Raises OSError or RuntimeError."""
    import soundfile as sf

    if path is None or not path.is_file():
        raise FileNotFoundError(path)
    try:
        with sf.SoundFile(path) as file:
            rate = file.samplerate
            if cut:
                file.seek(min(file.frames, int(cut[0] * rate)))
            samples = file.read(int((cut[1] - cut[0]) * rate) if cut else -1, dtype="float32", always_2d=True)
    except sf.LibsndfileError:
        samples, rate = _decoded(path), SAMPLE_RATE
        if cut:
            samples = samples[int(cut[0] * rate) : int(cut[1] * rate)]
    x = samples.mean(axis=1)
    return soxr.resample(x, rate, SAMPLE_RATE) if rate != SAMPLE_RATE and len(x) else x


def _decoded(path: Path) -> np.ndarray:
    """Anything else that FFmpeg decodes, (n, 1) at 16 kHz. Raises RuntimeError."""
    import av

    try:
        with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as file:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            blocks = [part.to_ndarray().ravel() for frame in file.decode(audio=0) for part in resampler.resample(frame)]
            blocks += [part.to_ndarray().ravel() for part in resampler.resample(None)]
    except (av.error.FFmpegError, IndexError) as error:
        raise RuntimeError(f"not audio that can be read: {error}") from error
    if not blocks:
        raise RuntimeError("no audio in it")
    return np.concatenate(blocks).astype(np.float32)[:, None]


def usable(x: np.ndarray, max_seconds: float) -> tuple[np.ndarray, int]:
    """The middle ``max_seconds`` at most, and how many samples were cut off its start. Raises ValueError."""
    if not np.isfinite(x).all():
        raise ValueError("samples are not finite")
    if len(x) < MIN_SECONDS * SAMPLE_RATE:
        raise ValueError(f"only {len(x) / SAMPLE_RATE:.2f} s long")
    if float(np.abs(x).max()) < 1e-4:
        raise ValueError("silent")
    extra = max(0, len(x) - int(max_seconds * SAMPLE_RATE))
    return x[extra // 2 : len(x) - (extra - extra // 2)], extra // 2


def _copied(x: np.ndarray, rng: np.random.Generator, copier: str, vocoder: Path | None) -> np.ndarray:
    if vocoder is None:
        return copies.COPIERS[copier](x, rng)
    from core.training.vocoders import neural_copy

    return neural_copy(x, rng, vocoder)
