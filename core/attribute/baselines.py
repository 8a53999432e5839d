"""What an input is compared with: silence, the mean bona fide spectrum, or the recording's own mean.

An attribution says which parts of the input move the score away from the baseline's score, so another baseline is
another question. All of them are made at the window's own level, so that loudness alone isn't a difference.

``mean_bonafide.json`` is made by ``python -m core.attribute.mean_bonafide CORPUS``: the mean Whisper log-mel of the
bona fide clips of a corpus, band by band, each clip first brought to the same mean.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.attribute.problem import SAMPLE_RATE, Problem, mel_edges
from core.errors import InvalidOption

if TYPE_CHECKING:
    import torch

BASELINES = {
    "silence": "silence: the quietest value that this window's loudest sound leaves visible (8 powers of ten below it)",
    "mean-bonafide": "the mean spectrum of bona fide speech at this window's level, steady over time",
    "own-mean": "this window's own mean spectrum, steady over time",
}
FLOOR = 2.0  # below the window's maximum: 8 powers of ten in Whisper's scale of (log10 power + 4) / 4
_FILE = Path(__file__).parent / "mean_bonafide.json"


@lru_cache(maxsize=1)
def mean_bonafide() -> np.ndarray:
    """Mean log-mel of bona fide speech in Whisper's scale, about its own mean: np.ndarray [shape=(80,)]."""
    values = np.asarray(json.loads(_FILE.read_text(encoding="utf-8"))["log_mel"], dtype=np.float64)
    if values.shape != (80,) or not np.isfinite(values).all():
        raise ValueError("mean_bonafide.json doesn't hold 80 numbers")
    return values - values.mean()


def make_baseline(problem: Problem, name: str, seed: int = 0) -> torch.Tensor:
    """The baseline of a window, (1, *shape). On spectrum and waveform, silence is zero and a mean spectrum is noise of
    that spectrum and of the window's power, drawn with ``seed``. Raises InvalidOption for an unknown name.
    """
    import torch

    if name not in BASELINES:
        raise InvalidOption(f"There is no baseline {name!r}; choose one of {', '.join(BASELINES)}.")
    x = problem.x
    if problem.plane in ("log-mel", "levels"):
        return _mel_baseline(x, name)
    if name == "silence":
        return torch.zeros_like(x)
    wav = _shaped_noise(problem.wav, name, seed)
    if problem.plane == "waveform":
        return wav
    from core.attribute.problem import stft

    return stft(wav)


def _mel_baseline(mel: torch.Tensor, name: str) -> torch.Tensor:
    import torch

    floor = max(float(mel.max()) - FLOOR, -1.5)  # -1.5 is digital silence in this scale
    if name == "silence":
        return torch.full_like(mel, floor)
    if name == "own-mean":
        return mel.mean(-1, keepdim=True).expand_as(mel).contiguous()
    shape = mean_bonafide()
    bands = np.interp(np.linspace(0, 79, mel.shape[1]), np.arange(80), shape)
    values = torch.from_numpy(bands).to(mel.device, mel.dtype)[None, :, None] + mel.mean()
    return values.expand_as(mel).clamp_min(floor).contiguous()


def _shaped_noise(wav: torch.Tensor, name: str, seed: int) -> torch.Tensor:
    """Noise with a mean spectrum and the power of ``wav`` (1, N)."""
    import torch

    n = wav.shape[-1]
    noise = torch.randn(1, n, generator=torch.Generator().manual_seed(seed)).to(wav.device, wav.dtype)
    spectrum = torch.fft.rfft(noise)
    if name == "own-mean":
        shape = torch.fft.rfft(wav).abs()
        width = max(3, 2 * (shape.shape[-1] * 50 // (SAMPLE_RATE // 2) // 2) + 1)  # smoothed over 50 Hz
        gain = torch.nn.functional.avg_pool1d(shape[:, None], width, 1, width // 2, count_include_pad=False)[:, 0]
    else:
        edges = mel_edges(80)
        centres = (edges[:-1] + edges[1:]) / 2
        # log-mel is the log10 power density (Slaney's filters have equal area), over 4
        hz = np.linspace(0, SAMPLE_RATE / 2, spectrum.shape[-1])
        level = np.interp(hz, centres, mean_bonafide())
        gain = torch.from_numpy(10.0 ** (2.0 * level)).to(wav.device, wav.dtype)[None]  # amplitude
    made = torch.fft.irfft(spectrum * gain, n)
    return made * (wav.square().mean() / made.square().mean().clamp_min(1e-20)).sqrt()
