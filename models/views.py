"""Five views of the signal that carry synthesis artefacts and little else, as plain differentiable torch.

Everything is computed from the waveform resampled to 14.4 kHz, because the band next to 8 kHz tells mostly which rate a
16 kHz file was converted from, and in corpora that differs between the classes. No weights live here: a view is a fixed
transform from a window to a vector of statistics; ``models.panel`` weighs them.

    cepstra     20 linear-frequency cepstra below 3.8 kHz
    phase       how predictable the phase advance is from frame to frame, per bin
    residual    what linear prediction leaves: peakedness, flatness, pulse regularity, harmonicity per band
    lines       narrow peaks of the long-term spectrum over its smooth trend, and their regular spacing
    modulation  power of the band envelopes at 1-200 Hz

References
----------
Sahidullah et al. 2015 (LFCC); Saratxaga et al. 2010 (relative phase); Makhoul 1975 (linear prediction, Levinson
recursion); Afchar et al. 2025, arXiv 2506.19108 (spectral lines of transposed convolutions). The statistics are ours.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

from models.frontend import _dct, triangular_filters

RATE_IN, RATE = 16_000, 14_400
HOP = 144  # 10 ms
SHORTEST = 19_200  # samples at 16 kHz; shorter windows are repeated up to this length
LOUD_SHARE = 0.6  # of the frames, the loudest: what most statistics look at
ORDER, FRAME, RESIDUAL_FFT = 16, 360, 1024  # linear prediction on 25 ms frames
VIEWS = ("cepstra", "phase", "residual", "lines", "modulation")
N_BANDS = 8
PHASE_EDGES = tuple(int(k) for k in np.unique(np.round(np.geomspace(3, 252, 25))))  # bins of the phase track's bands
TRACKS = 20 + len(PHASE_EDGES) - 1 + 36  # channels of the frame tracks


def resample_guarded(wav: torch.Tensor) -> torch.Tensor:
    """16 kHz -> 14.4 kHz in the Fourier domain, nothing above 7.1 kHz kept. (B, N) -> (B, 0.9 N), N a multiple of 20."""
    n = wav.shape[-1]
    return torch.fft.irfft(_guarded_spectrum(wav)[..., : (n * 9 // 10) // 2 + 1], n * 9 // 10) * 0.9


def guarded(wav: torch.Tensor) -> torch.Tensor:
    """Nothing above 7.1 kHz, still at 16 kHz: (B, N) -> (B, N)."""
    return torch.fft.irfft(_guarded_spectrum(wav), wav.shape[-1])


def _guarded_spectrum(wav: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.rfft(wav)
    hz = torch.arange(spectrum.shape[-1], device=wav.device, dtype=wav.dtype) * (RATE_IN / wav.shape[-1])
    return spectrum * torch.sigmoid((7_120.0 - hz) / 12.0)


def prepare(wav: torch.Tensor) -> torch.Tensor:
    """A window as all views want it: repeated to ``SHORTEST``, cut to a multiple of 320, resampled, level 0.05 RMS."""
    n = wav.shape[-1]
    if n < SHORTEST:
        wav = wav.repeat(1, -(-SHORTEST // n))[:, :SHORTEST]
    x = resample_guarded(wav[:, : wav.shape[-1] // 320 * 320].float())
    return x * (0.05 / (x.square().mean(-1, keepdim=True).sqrt() + 1e-6))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _hann(n: int) -> torch.Tensor:
    return torch.hann_window(n, periodic=True)


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def _hamming(n: int) -> torch.Tensor:
    return torch.hamming_window(n, periodic=False)


def _stft(x: torch.Tensor, n_fft: int, hop: int) -> torch.Tensor:
    """(B, N) -> complex (B, n_fft / 2 + 1, N // hop)."""
    spectrum = torch.stft(x, n_fft, hop, window=_hann(n_fft).to(x.device), return_complex=True)
    return spectrum[..., : x.shape[-1] // hop]


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def _cepstral_matrix() -> tuple[torch.Tensor, torch.Tensor]:
    corners = np.linspace(0.0, 3_800.0, 42) * RATE_IN / RATE  # triangular_filters counts bins at 16 kHz
    return torch.from_numpy(triangular_filters(corners, 512, area=False)), _dct(20, 40)


def spread(x: torch.Tensor) -> torch.Tensor:
    """Deviation over the last axis, smooth at zero; zero of nothing."""
    if not x.shape[-1]:
        return x.new_zeros(x.shape[:-1])
    return (x.var(-1, correction=0) + 1e-8).sqrt()


def loud_frames(power: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the loudest frames and of the others, in order of time: (B, T) -> (B, K), (B, T - K)."""
    order = power.argsort(dim=-1, descending=True)
    k = max(4, int(LOUD_SHARE * power.shape[-1]))
    return order[:, :k].sort(-1).values, order[:, k:].sort(-1).values


def _take(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """x (B, D, T) at index (B, K) -> (B, D, K)."""
    return x.gather(2, index.unsqueeze(1).expand(-1, x.shape[1], -1))


def all_moments(x: torch.Tensor) -> list[torch.Tensor]:
    """Mean, deviation, deviation of first and second differences over all frames: (B, D, T) -> 4 of (B, D)."""
    first = x.diff(dim=-1)
    return [x.mean(-1), spread(x), spread(first), spread(first.diff(dim=-1))]


def _moments(x: torch.Tensor, loud: torch.Tensor) -> list[torch.Tensor]:
    """The same over the loud frames alone."""
    first = F.pad(x.diff(dim=-1), (1, 0))
    second = F.pad(first[..., 1:].diff(dim=-1), (2, 0))
    chosen = _take(x, loud)
    return [chosen.mean(-1), spread(chosen), spread(_take(first, loud)), spread(_take(second, loud))]


def cepstra_track(power: torch.Tensor) -> torch.Tensor:
    """Power spectrogram (B, 257, T) -> (B, 20, T)."""
    filters, dct = (m.to(power.device) for m in _cepstral_matrix())
    bands = filters @ power
    floor = bands.amax((1, 2), keepdim=True) * 1e-9 + 1e-12
    return dct @ torch.maximum(bands, floor).log()


def phase_advance(spectrum: torch.Tensor) -> torch.Tensor:
    """cos of the phase step from frame to frame beyond that of the bin's centre: (B, 257, T) -> (B, 257, T)."""
    step = spectrum[..., 1:] * spectrum[..., :-1].conj()
    turn = torch.polar(torch.ones(257), -2.0 * math.pi * HOP / 512 * torch.arange(257.0)).to(spectrum.device)
    step = step * turn[:, None]
    return F.pad(step.real / (step.abs() + 1e-9), (1, 0))


def levinson(r: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Autocorrelation (..., order + 1) -> predictor polynomial (..., order + 1) with a_0 = 1, error power (...)."""
    a = torch.zeros_like(r)
    a[..., 0] = 1.0
    error = r[..., 0]
    for i in range(1, order + 1):
        k = -(a[..., :i] * r[..., 1 : i + 1].flip(-1)).sum(-1) / error
        head = a[..., 1:i] + k[..., None] * a[..., 1:i].flip(-1)
        a = torch.cat([a[..., :1], head, k[..., None], a[..., i + 1 :]], dim=-1)
        error = error * (1.0 - k.square())
    return a, error


def residual_track(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Prepared signal (B, N) -> statistics of the prediction residual per 10 ms (B, 36, T), and frame power (B, T)."""
    frames = F.pad(x, (FRAME // 2, FRAME // 2)).unfold(-1, FRAME, HOP)[:, : x.shape[-1] // HOP]  # (B, T, 360)
    power = frames.square().mean(-1)
    windowed = torch.fft.rfft(frames * _hamming(FRAME).to(x.device), RESIDUAL_FFT)
    r = torch.fft.irfft(windowed.abs().square())[..., : ORDER + 1]
    r = torch.cat([r[..., :1] * (1 + 1e-5) + 1e-7, r[..., 1:]], dim=-1)
    a, _ = levinson(r.double(), ORDER)
    spectrum = windowed * torch.fft.rfft(a.to(x.dtype), RESIDUAL_FFT)  # (B, T, 513)
    residual = torch.fft.irfft(spectrum)[..., : FRAME + ORDER]
    scale = residual.square().mean(-1, keepdim=True).sqrt() + 1e-7
    unit = residual / scale
    gain = (scale[..., 0] / (power.sqrt() + 1e-7) + 1e-6).log()
    shape = torch.stack([(unit.square().square().mean(-1) + 1e-6).log(), unit.pow(3).mean(-1),
                         (unit.abs().amax(-1) + 1e-6).log(), (unit.abs().mean(-1) + 1e-6).log(), gain], dim=-1)
    return torch.cat([shape, *_pulses(spectrum.abs().square())], dim=-1).transpose(1, 2), power


def _pulses(power: torch.Tensor) -> list[torch.Tensor]:
    """Residual power (B, T, 513) -> pulse regularity, flatness, tilt and harmonicity: (B, T, 31) in parts."""
    correlation = torch.fft.irfft(power)[..., :288]
    correlation = correlation / (correlation[..., :1] + 1e-9)
    peak, lag = correlation[..., 36:].max(-1)
    lag = lag + 36
    second = correlation.gather(-1, (2 * lag).clamp_max(287).unsqueeze(-1)).squeeze(-1)
    edges = np.linspace(0.02 * 513, 0.98 * 513, N_BANDS + 1).astype(int)
    mean_power = power.mean(-1, keepdim=True)
    log = (power + 1e-6 * mean_power + 1e-12).log()
    band = torch.stack([power[..., u:v].mean(-1) for u, v in pairwise(edges)], -1)
    level = (band + 1e-9 * mean_power + 1e-12).log()
    flat = torch.stack([log[..., u:v].mean(-1) for u, v in pairwise(edges)], -1) - level
    turn = torch.cos(2.0 * math.pi / RESIDUAL_FFT * (lag[..., None] * torch.arange(513, device=power.device)))
    harmonic = torch.stack([(power[..., u:v] * turn[..., u:v]).sum(-1) / (power[..., u:v].sum(-1) + 1e-9)
                            for u, v in zip(edges[::2], edges[2::2], strict=False)], -1)
    return [torch.stack([peak, second, lag / 144.0], -1), flat, level - level.mean(-1, keepdim=True), harmonic,
            correlation[..., 1:9]]


def lines(x: torch.Tensor) -> torch.Tensor:
    """Prepared signal (B, N) -> statistics of narrow peaks in the long-term spectrum, (B, 160)."""
    found = []
    for n_fft in (1024, 4096):
        magnitude = _stft(x, n_fft, n_fft // 4).abs()[:, : int(7_000 / RATE * n_fft)]
        log = (magnitude + 1e-5 * magnitude.amax((1, 2), keepdim=True) + 1e-9).log()
        quiet = log.kthvalue(1 + int(0.1 * (log.shape[-1] - 1)), dim=-1).values
        for curve in (log.mean(-1), quiet):
            rest = (curve - running_median(curve, n_fft // 128))[:, n_fft // 100 :]
            found += _line_statistics(rest)
    return torch.cat(found, dim=1)


def running_median(curve: torch.Tensor, half: int, step: int = 8) -> torch.Tensor:
    """Median within +-``half`` bins, at every ``step``-th bin and linear between: (B, K) -> (B, K)."""
    padded = F.pad(curve.unsqueeze(1), (half, half + step), mode="reflect").squeeze(1)
    coarse = padded.unfold(-1, 2 * half + 1, step).median(-1).values
    fine = F.interpolate(coarse.unsqueeze(1), size=(coarse.shape[-1] - 1) * step + 1, mode="linear", align_corners=True)
    return fine[:, 0, : curve.shape[-1]]


def _line_statistics(rest: torch.Tensor) -> list[torch.Tensor]:
    """Spectrum over its trend (B, K) -> deviation, height and peakedness in 8 bands, and spacing (cepstrum): (B, 40)."""
    parts = rest.tensor_split(8, dim=-1)
    deviation = torch.stack([spread(p) for p in parts], -1)
    height = torch.stack([p.amax(-1) for p in parts], -1)
    centred = [p - p.mean(-1, keepdim=True) for p in parts]
    peaked = torch.stack([p.pow(4).mean(-1) / (p.square().mean(-1) + 1e-6).square() for p in centred], -1)
    unit = rest / (spread(rest).unsqueeze(-1) + 1e-6)
    taper = torch.hann_window(rest.shape[-1], periodic=False, device=rest.device)
    spacing = torch.fft.rfft(unit * taper, max(1024, 1 << (rest.shape[-1] - 1).bit_length())).abs()[:, 4:260]
    spaced = torch.stack([p.amax(-1) for p in spacing.tensor_split(16, dim=-1)], -1)
    return [(1 + deviation).log(), height.sign() * (1 + height.abs()).log(), (1 + peaked).log(), (spaced + 1e-3).log()]


MODULATION_EDGES = (1, 4, 8, 16, 25, 40, 60, 80, 100, 130, 160, 200.1)


def modulation(x: torch.Tensor) -> torch.Tensor:
    """Prepared signal (B, N) -> log power of 19 band envelopes in 11 modulation bands, (B, 209)."""
    power = _stft(x, 256, 36)[:, 2:126].abs().square()  # 2.5 ms hop, up to 7 kHz
    bands = torch.stack([p.mean(1) for p in power.tensor_split(19, dim=1)], 1)
    envelope = (bands + 1e-8).log()
    pieces = envelope.unfold(-1, 256, 128)  # (B, 19, P, 256)
    pieces = (pieces - pieces.mean(-1, keepdim=True)) * _hann(256).to(x.device)
    spectrum = torch.fft.rfft(pieces).abs().square().mean(2) / (400.0 * 96.0)  # (B, 19, 129)
    hz = np.arange(129) * 400.0 / 256
    picked = [spectrum[..., torch.from_numpy((hz >= u) & (hz < v))].mean(-1)
              for u, v in pairwise(MODULATION_EDGES)]
    return (torch.stack(picked, -1) + 1e-8).log().flatten(1)


def frame_tracks(x: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The three views that exist per frame, each (B, D, T) at 10 ms, and frame power (B, T)."""
    spectrum = _stft(x, 512, HOP)
    residual, power = residual_track(x)
    return {"cepstra": cepstra_track(spectrum.abs().square()), "phase": phase_advance(spectrum),
            "residual": residual}, power


def clip_views(x: torch.Tensor, tracks: dict[str, torch.Tensor], power: torch.Tensor) -> dict[str, torch.Tensor]:
    """Statistics of a prepared window: one vector per view, each (B, D_view)."""
    loud, quiet = loud_frames(power)
    residual = tracks["residual"]
    chosen = _take(residual, loud)
    ordered = chosen.sort(-1).values
    low, high = (ordered[..., int(q * (ordered.shape[-1] - 1))] for q in (0.1, 0.9))
    rest = _take(residual, quiet)
    heard = (power > 1e-3 * power.amax(-1, keepdim=True)).float()
    heard = (heard / heard.sum(-1, keepdim=True).clamp_min(1.0)).unsqueeze(1)  # (B, 1, T): all but silence
    advance = tracks["phase"]
    return {
        "cepstra": torch.cat(all_moments(tracks["cepstra"]), 1),
        "phase": torch.cat([(advance * heard).sum(-1), 2.0 * (advance.square() * heard).sum(-1) - 1.0], 1),
        "residual": torch.cat([*_moments(residual, loud), high, low, rest.mean(-1), spread(rest)], 1),
        "lines": lines(x),
        "modulation": modulation(x),
    }


def local_tracks(tracks: dict[str, torch.Tensor]) -> torch.Tensor:
    """All frame tracks in one, phase gathered into bands: (B, TRACKS, T)."""
    edges = pairwise(PHASE_EDGES)
    phase = torch.stack([tracks["phase"][:, u:v].mean(1) for u, v in edges], 1)
    return torch.cat([tracks["cepstra"], phase, tracks["residual"]], 1)


def local_moments(track: torch.Tensor, half: int, short: int) -> torch.Tensor:
    """What the tracks do around each frame, and how it differs from the rest of the window: (B, D, T) -> (B, 6D, T).

    Within +-``half`` frames mean, deviation, deviation of differences, and mean less the window's; within +-``short``
    frames mean less the window's, and deviation.
    """
    def mean(y: torch.Tensor, reach: int) -> torch.Tensor:
        return F.avg_pool1d(y, 2 * reach + 1, 1, reach, count_include_pad=False)

    first = F.pad(track.diff(dim=-1), (1, 0))
    centre = track.mean(-1, keepdim=True)
    x = track - centre
    squares, contrast, near = x.square(), mean(x, half), mean(x, short)
    return torch.cat([contrast + centre, (mean(squares, half) - contrast.square()).clamp_min(0).add(1e-8).sqrt(),
                      (mean(first.square(), half) + 1e-8).sqrt(), contrast, near,
                      (mean(squares, short) - near.square()).clamp_min(0).add(1e-8).sqrt()], 1)
