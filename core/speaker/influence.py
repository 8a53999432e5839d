"""Attribution of a verification score to frames: how the similarity would move if a frame counted a little more.

The embedding is pooled from weighted frames, so the derivative of the cosine by each frame's weight is a closed formula
in the pooled mean and deviation: no perturbation, no second pass. All frames together weigh nothing (scaling every
weight changes nothing), so the values sum to zero: they are about the recording's own average frame.

References: Cook and Weisberg 1982, Residuals and influence in regression (influence curves); arXiv 1803.10963 (pooling).
"""

from __future__ import annotations

import numpy as np

from core.frames import Track
from core.segments import Segment
from core.speaker.listen import Heard
from core.speaker.networks import SpeakerNetworks
from core.speaker.pooling import EPSILON, Moments

_CHUNK = 2_000  # frames at a time


def influence(heard: Heard, enrolled: np.ndarray, networks: SpeakerNetworks) -> np.ndarray | None:
    """Per frame, the change of the raw recording's cosine with ``enrolled`` [shape=(192,)] per unit of its weight.

    float32 [shape=(T,)], positive where the frame pulls towards the enrolled voice; None for recordings whose frames
    weren't kept.
    """
    if heard.values is None or heard.logits is None:
        return None
    reference = heard.logits[:_CHUNK].max(0).astype(np.float32)
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(heard.values), _CHUNK)]

    def moments(chunk: slice) -> Moments:
        return Moments.of(heard.values[chunk].astype(np.float32), heard.logits[chunk].astype(np.float32), reference)

    sums = [sum(np.sum(getattr(moments(c), name), axis=0, dtype=np.float64) for c in chunks)
            for name in ("weight", "first", "second")]
    mean, square = sums[1] / sums[0], sums[2] / sums[0]
    variance = square - mean * mean
    deviation = np.sqrt(np.maximum(variance, EPSILON))
    by_mean, by_deviation = gradient(mean, deviation, enrolled, networks)
    by_square = np.where(variance > EPSILON, by_deviation / (2 * deviation), 0.0)  # the floor has no slope
    # d cos / d w_t = sum_c a_tc / A_c [g_c (h_tc - mean_c) + q_c (h_tc^2 - square_c - 2 mean_c (h_tc - mean_c))]
    linear = (by_mean - 2 * mean * by_square) / sums[0]
    squared = by_square / sums[0]
    constant = -linear * mean - squared * square
    out = np.empty(len(heard.values), np.float32)
    for chunk in chunks:
        m = moments(chunk)
        weight = np.broadcast_to(m.weight, m.first.shape)
        out[chunk] = (m.first @ linear + m.second @ squared + weight @ constant).astype(np.float32)
    return out


def gradient(mean: np.ndarray, deviation: np.ndarray, enrolled: np.ndarray,
             networks: SpeakerNetworks) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the cosine with ``enrolled`` by pooled mean and deviation, each [shape=(C,)] float64."""
    import torch

    with networks.lock, torch.inference_mode(False), torch.enable_grad():
        x = [torch.from_numpy(v.astype(np.float32)[None]).to(networks.device).requires_grad_(True)
             for v in (mean, deviation)]
        who = torch.from_numpy(np.array(enrolled, np.float32)).to(networks.device)
        score = (networks.encoder.from_statistics(*x)[0] * who).sum()
        return tuple(g[0].double().cpu().numpy() for g in torch.autograd.grad(score, x))


def strongest(track: Track, duration_s: float, *, count: int = 5, block_s: float = 0.5) -> tuple[Segment, ...]:
    """The blocks that pull most, up to ``count`` each way, strongest first; the value is the sum over their frames."""
    size = round(block_s / track.hop_s)
    starts = np.arange(0, len(track.values), size)
    sums = np.add.reduceat(track.values, starts) if len(starts) else np.zeros(0)
    out = []
    for sign, words in ((1, "towards the enrolled voice"), (-1, "away from it")):
        for i in [i for i in np.argsort(-sign * sums)[:count] if sign * sums[i] > 0]:
            out.append(Segment(i * block_s, min((i + 1) * block_s, duration_s), words, float(sums[i]), "cosine"))
    return tuple(sorted(out, key=lambda s: -abs(s.value)))
