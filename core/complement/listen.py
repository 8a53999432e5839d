"""All members' scores of one recording.

The panel's frame tracks serve its own members and ACoRL's networks, the encoder's states f-InfoED and the panel: each
front end is computed once per window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.complement.members import Member
from core.complement.shipped import FINFOED, NETWORKS, PANEL, Shipped
from core.encode import BATCH, FP16_MAX, _groups
from core.errors import Cancelled
from core.frames import SAMPLE_RATE, Window, plan_windows

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from models.registry import Detector

SLIDE_S, HOP_S = 2.0, 0.5
MOST = 240  # sliding windows; longer recordings get a longer hop


@dataclass(frozen=True, eq=False)
class Voices:
    """Scores by member and window. members : M of them; windows : W; scores : np.ndarray [shape=(M, W)], raw."""

    members: tuple[Member, ...]
    windows: tuple[Window, ...]
    scores: np.ndarray

    @property
    def clip(self) -> np.ndarray:
        """Each member's score of the whole recording [M]: windows by length, as when it was calibrated."""
        return np.average(self.scores, axis=1, weights=[w.n_samples for w in self.windows])

    @property
    def llrs(self) -> np.ndarray:
        """Each member's bounded log10 LR of the whole recording [M]."""
        return np.array([m.line.apply(s).value for m, s in zip(self.members, self.clip, strict=True)])

    @property
    def window_llrs(self) -> np.ndarray:
        """log10 LRs by window on each member's line, unbounded [M, W]. The lines were fitted to whole clips."""
        return np.stack([m.llr(s) for m, s in zip(self.members, self.scores, strict=True)])

    def of(self, key: str) -> float:
        """A member's score of the whole recording. Raises KeyError."""
        return dict(zip((m.key for m in self.members), self.clip.tolist(), strict=True))[key]


def sliding(n_samples: int) -> tuple[Window, ...]:
    """Windows of 2 s every 0.5 s, the last one moved back to the end; one window for less than 2 s."""
    size = round(SLIDE_S * SAMPLE_RATE)
    if n_samples <= size:
        return plan_windows(n_samples)
    hop = max(round(HOP_S * SAMPLE_RATE), -(-(n_samples - size) // MOST))
    starts = [*range(0, n_samples - size, hop), n_samples - size]
    return tuple(Window(i, start, start + size) for i, start in enumerate(starts))


def listen(recording: Recording, detector: Detector, members: Sequence[Member], ours: Shipped | None, *,
           windows: Sequence[Window] | None = None, encoding: Encoding | None = None,
           on_progress: Callable[[float], Any] | None = None,
           cancelled: Callable[[], bool] | None = None) -> Voices:
    """Scores of the members in ``windows``, by default those of an examination.

    encoding : the examination's (adapters on), which spares the encoder where the windows are its own.

    Raises Cancelled.
    """
    windows = tuple(plan_windows(len(recording.samples)) if windows is None else windows)
    known = encoding if encoding is not None and encoding.adapters and encoding.windows == windows else None
    scores = np.zeros((len(members), len(windows)))
    for group in _groups([w.n_samples for w in windows], BATCH):
        if cancelled is not None and cancelled():
            raise Cancelled()
        states = None if known is None else known.batch(group.start, group.stop)
        samples = np.stack([recording.samples[windows[i].start : windows[i].stop] for i in group]).astype(np.float32)
        scores[:, group.start : group.stop] = _score(samples, states, detector, [m.key for m in members], ours)
        if on_progress is not None:
            on_progress(group.stop / len(windows))
    return Voices(tuple(members), windows, scores)


def _score(samples: np.ndarray, states: torch.Tensor | None, detector: Detector, keys: Sequence[str],
           ours: Shipped | None) -> np.ndarray:
    """Scores of a batch of windows (B, N): (M, B). states (B, L, T, F): with adapters, encoded here for None."""
    import torch

    network, panel, device = detector.network, detector.panel, detector.device
    with detector.lock, torch.inference_mode():
        wav = torch.from_numpy(np.ascontiguousarray(samples)).to(device)
        if states is None:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                states = network.encode(wav)
            states = states.clamp(-FP16_MAX, FP16_MAX).half().float()
        states = states.to(device)
        found = {FINFOED: network.analyse(states).clip_logit}
        tracks = None
        if panel is not None:
            vectors, tracks = panel.vectors(wav, states[:, 0].float())
            found |= {PANEL + name: panel.members[name](vectors[name]) for name in panel.names}
    if ours is not None:
        from models.acorl import tracks_of

        with ours.lock, torch.inference_mode():
            tracks = tracks_of(wav) if tracks is None else tracks
            found |= {name: ours.networks[name](tracks.cpu()) for name in NETWORKS}
    return torch.stack([found[key].float().cpu() for key in keys]).double().numpy()
