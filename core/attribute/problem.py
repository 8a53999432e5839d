"""One window's question: which input, which score, and where each input value lies in time and frequency.

Planes (what the attribution is laid on):
  log-mel    the 80 bands that the detector's encoder hears, 10 ms apart; bands that are hidden from it get zero
  levels     the levels of 80 mel bands, 10 ms apart, for any detector: bands are turned up or down and the sound is
             resynthesised with the recording's own phases, which no attribution on this plane speaks of
  spectrum   the complex short-time spectrum; the score is computed from the sound resynthesised from it
  waveform   the samples; shown as a profile over time

Everything is differentiable from the plane to the score. Questions about a whole recording are in
``core.attribute.question``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.attribute.scorer import Scorer
from core.errors import InvalidOption

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16_000
PLANES = ("log-mel", "levels", "spectrum", "waveform")
BANDS = 80  # of the levels plane
N_FFT, HOP = 512, 160  # of the spectrum plane: 31.25 Hz, 10 ms
FRAME_S = HOP / SAMPLE_RATE

Score = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, eq=False)
class Problem:
    """One window to explain.

    x : (1, *shape), the point; score : (B, *shape) -> (B,), higher = bona fide; to_map : (*shape) attribution ->
    np.ndarray [shape=(R, T)] that sums to the same; edges_hz : [R + 1] frequency edges of the map's rows; wav : (1, N)
    the samples.
    """

    scorer: Scorer
    plane: str
    wav: torch.Tensor
    x: torch.Tensor
    score: Score
    to_map: Callable[[torch.Tensor], np.ndarray]
    edges_hz: np.ndarray
    hop_s: float = FRAME_S

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])


@dataclass(frozen=True)
class Selection:
    """Which score of the window: its clip score (None), or the mean of its frame scores over [start, stop) seconds
    from the window's start; ``gain`` multiplies either (a window's weight in the clip's score)."""

    frames_s: tuple[float, float] | None = None
    gain: float = 1.0


def make_problem(scorer: Scorer, wav: torch.Tensor, plane: str, select: Selection | None = None) -> Problem:
    """Pose the question for one window, wav (1, N) on the scorer's device.

    Raises InvalidOption for a plane that the detector doesn't have, or a score per moment where there is none.
    """
    select = select or Selection()
    if plane not in PLANES:
        raise InvalidOption(f"There is no plane {plane!r}; choose one of {', '.join(PLANES)}.")
    if plane == "log-mel" and not scorer.log_mel:
        raise InvalidOption("This detector doesn't hear a log-mel spectrogram; choose the band levels, the spectrum or "
                            "the waveform.")
    if select.frames_s is not None:
        _check_frames(scorer)
    maker = {"log-mel": _mel_problem, "levels": _levels_problem, "spectrum": _spectrum_problem,
             "waveform": _waveform_problem}[plane]
    return maker(scorer, wav.detach(), select)


def _check_frames(scorer: Scorer) -> None:
    from core.attribute.scorer import ClipScorer

    if isinstance(scorer, ClipScorer):
        raise InvalidOption("This detector has no score per moment; explain the clip or a region.")


def _score(clip: Score, frames: Score, select: Selection, n_samples: int) -> Score:
    """Either the window's clip score or the mean of some of its frame scores, scaled."""
    def clip_score(x: torch.Tensor) -> torch.Tensor:
        return select.gain * clip(x)

    def frame_score(x: torch.Tensor) -> torch.Tensor:
        values = frames(x)  # (B, T)
        first, stop = frames_between(select.frames_s, values.shape[1], n_samples)
        return select.gain * values[:, first:stop].mean(1)

    return clip_score if select.frames_s is None else frame_score


def frames_between(span_s: tuple[float, float], n_frames: int, n_samples: int) -> tuple[int, int]:
    """Frames [first, stop) whose centres lie in a span of seconds from the window's start; at least one."""
    hop = n_samples / SAMPLE_RATE / max(1, n_frames)
    first = min(n_frames - 1, max(0, round(span_s[0] / hop)))
    return first, min(n_frames, max(first + 1, round(span_s[1] / hop)))


def _mel_problem(scorer: Scorer, wav: torch.Tensor, select: Selection) -> Problem:
    import torch

    with torch.no_grad():
        mel = scorer.front(wav)  # (1, R, S)
    score = _score(scorer.clip_of_mel, scorer.frames_of_mel, select, wav.shape[-1])
    return Problem(scorer, "log-mel", wav, mel, score, lambda a: a.detach().cpu().double().numpy(),
                   mel_edges(mel.shape[1]))


def _levels_problem(scorer: Scorer, wav: torch.Tensor, select: Selection) -> Problem:
    """Levels in Whisper's scale, (log10 power + 4) / 4, no lower than 8 powers of ten below the loudest."""
    import torch

    n = wav.shape[-1]
    inner = _score(scorer.clip_of_wav, scorer.frames_of_wav, select, n)
    spectrum, (mean, spread) = stft(wav), (m.to(wav) for m in _band_matrices())
    level = (mean @ spectrum.square().sum(1)).clamp_min(1e-10).log10()  # (1, 80, T)
    x = (torch.maximum(level, level.amax() - 8.0) + 4.0) / 4.0

    def score(levels: torch.Tensor) -> torch.Tensor:
        gain = 10.0 ** (2.0 * (spread @ (levels - x)))  # (B, 257, T): four powers of ten in amplitude per 2 units
        return inner(istft(spectrum * gain[:, None], n))

    return Problem(scorer, "levels", wav, x, score, lambda a: a.detach().cpu().double().numpy(), mel_edges(BANDS))


@lru_cache(maxsize=1)
def _band_matrices() -> tuple[torch.Tensor, torch.Tensor]:
    """Means over bins of each mel band (80, 257), and how each bin takes part in the bands, in shares (257, 80)."""
    import torch

    from models.frontend import hz_to_mel, mel_to_hz, triangular_filters

    corners = np.asarray(mel_to_hz(np.linspace(0.0, float(hz_to_mel(SAMPLE_RATE / 2)), BANDS + 2)))
    bands = triangular_filters(corners, N_FFT, area=False)
    bands[0, 0] = bands[-1, -1] = 1e-3  # no triangle reaches them, and they must follow their neighbours
    with torch.inference_mode(False):
        return (torch.from_numpy(bands / np.maximum(bands.sum(1, keepdims=True), 1e-9)),
                torch.from_numpy((bands / np.maximum(bands.sum(0), 1e-9)).T.copy()))


def _spectrum_problem(scorer: Scorer, wav: torch.Tensor, select: Selection) -> Problem:
    n = wav.shape[-1]
    inner = _score(scorer.clip_of_wav, scorer.frames_of_wav, select, n)
    edges = np.clip((np.arange(N_FFT // 2 + 2) - 0.5) * SAMPLE_RATE / N_FFT, 0.0, SAMPLE_RATE / 2)
    return Problem(scorer, "spectrum", wav, stft(wav), lambda x: inner(istft(x, n)),
                   lambda a: a.detach().sum(0).cpu().double().numpy(), edges)  # real and imaginary part together


def _waveform_problem(scorer: Scorer, wav: torch.Tensor, select: Selection) -> Problem:
    score = _score(scorer.clip_of_wav, scorer.frames_of_wav, select, wav.shape[-1])

    def to_map(a: torch.Tensor) -> np.ndarray:
        values = a.detach().cpu().double().numpy()
        return np.add.reduceat(values, np.arange(0, len(values), HOP))[None]  # (1, T)

    return Problem(scorer, "waveform", wav, wav, score, to_map, np.array([0.0, SAMPLE_RATE / 2]))


def stft(wav: torch.Tensor) -> torch.Tensor:
    """wav (B, N) -> real and imaginary part of its short-time spectrum, (B, 2, 257, N // 160 + 1)."""
    import torch

    window = torch.hann_window(N_FFT, device=wav.device, dtype=wav.dtype)
    spectrum = torch.stft(wav, N_FFT, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    return torch.view_as_real(spectrum).permute(0, 3, 1, 2).contiguous()


def istft(x: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Back from :func:`stft`: (B, 2, 257, T) -> wav (B, n_samples)."""
    import torch

    window = torch.hann_window(N_FFT, device=x.device, dtype=x.dtype)
    spectrum = torch.complex(x[:, 0], x[:, 1])
    return torch.istft(spectrum, N_FFT, HOP, window=window, center=True, length=n_samples)


def mel_edges(n_mels: int) -> np.ndarray:
    """Edges in Hz between neighbouring mel bands, [n_mels + 1]: halfway (in mel) between their centres."""
    from models.frontend import hz_to_mel, mel_to_hz

    top = float(hz_to_mel(SAMPLE_RATE / 2))
    width = top / (n_mels + 1)
    edges = mel_to_hz((np.arange(n_mels + 1) + 0.5) * width)
    edges[0], edges[-1] = 0.0, SAMPLE_RATE / 2
    return edges
