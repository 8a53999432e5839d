"""A closer look at an encoding: the mel that the bottleneck rebuilds, the posterior of one frame.

Shared ground of `core.entropy`: how windows become a time axis and what the reconstruction is compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.timeline import Timeline

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from models.registry import Detector


def timeline_of(encoding: Encoding, detector: Detector) -> Timeline:
    """The time axis of an encoding made by this detector's encoder."""
    counts = [detector.network.encoder.n_frames(w.stop - w.start) for w in encoding.windows]
    return Timeline.plan(encoding.windows, counts, float(encoding.hop_s))


def mel_target(recording: Recording, windows: list, rebuilt: torch.Tensor, detector: Detector) -> torch.Tensor:
    """The detector's log-mel (band guard included) of windows of equal length, at the frames of `rebuilt`
    [B, T, 80], on its device."""
    import torch

    from models.frontend import mel_at_encoder_rate

    wav = torch.from_numpy(np.stack([np.array(recording.samples[w.start : w.stop]) for w in windows]))
    mel = detector.network.features(wav.to(rebuilt.device))  # (B, 80, N // 160)
    frames = rebuilt.shape[1]
    target = mel.transpose(1, 2) if frames > mel.shape[-1] // 2 else mel_at_encoder_rate(mel)  # (B, T', 80)
    if target.shape[1] < frames:  # a frame at the very end that the mel does not reach
        target = torch.cat([target, target[:, -1:].expand(-1, frames - target.shape[1], -1)], dim=1)
    return target[:, :frames]


def reconstruct(
    encoding: Encoding, detector: Detector, t0: float, t1: float, *, recording: Recording
) -> tuple[np.ndarray, np.ndarray]:
    """(log-mel, what the bottleneck rebuilds of it) between t0 and t1 seconds, each [T, 80] at the
    encoder's hop.
    """
    import torch

    timeline = timeline_of(encoding, detector)
    chosen = timeline.windows_between(t0, t1)
    if not chosen:
        return np.zeros((0, 80), np.float32), np.zeros((0, 80), np.float32)
    mel, rebuilt = (np.zeros((timeline.n_frames, 80), np.float32) for _ in range(2))
    with torch.inference_mode():
        for i in chosen:
            with detector.lock:
                states = encoding.batch(i, i + 1).to(detector.device).float()
                out = detector.network.reconstruct(detector.network.posterior(states)[0])
            target = mel_target(recording, [encoding.windows[i]], out, detector)
            timeline.put(rebuilt, i, out[0].float().cpu().numpy())
            timeline.put(mel, i, target[0].float().cpu().numpy())
    first, last = (round((t - encoding.start_s) / encoding.hop_s) for t in (t0, t1))
    wanted = slice(max(0, first), max(max(0, first) + 1, min(last, timeline.n_frames)))
    return mel[wanted], rebuilt[wanted]


def frame_posterior(encoding: Encoding, detector: Detector, t: float) -> tuple[np.ndarray, np.ndarray]:
    """(mu, sigma) of the latent posterior at the frame nearest to `t` seconds, each [D]."""
    import torch

    timeline = timeline_of(encoding, detector)
    frame = min(max(0, round((t - encoding.start_s) / encoding.hop_s)), timeline.n_frames - 1)
    index = max(i for i, first in enumerate(timeline.first) if first + timeline.fresh[i] <= frame)
    with torch.inference_mode(), detector.lock:
        states = encoding.batch(index, index + 1).to(detector.device).float()
        mu, logvar, _ = detector.network.posterior(states)
    row = min(frame - timeline.first[index], timeline.counts[index] - 1)
    return mu[0, row].float().cpu().numpy(), (0.5 * logvar[0, row]).exp().float().cpu().numpy()
