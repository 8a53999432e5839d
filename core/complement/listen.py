"""All members' scores of one recording.

The panel's frame tracks serve its own members and ACoRL's networks; each front end is computed once per window.
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
    from core.examine import Examination
    from models.registry import Detector

SLIDE_S, HOP_S = 2.0, 0.5
MOST = 240  # sliding windows; longer recordings keep those of their examination


@dataclass(frozen=True, eq=False)
class Said:
    """What M members say of a whole recording. scores : np.ndarray [shape=(M,)], raw."""

    members: tuple[Member, ...]
    scores: np.ndarray

    def of(self, key: str) -> float:
        """A member's score. Raises KeyError."""
        return dict(zip((m.key for m in self.members), self.scores.tolist(), strict=True))[key]


@dataclass(frozen=True, eq=False)
class Voices:
    """Scores by member and window. members : M of them; windows : W; scores : np.ndarray [shape=(M, W)], raw."""

    members: tuple[Member, ...]
    windows: tuple[Window, ...]
    scores: np.ndarray

    @property
    def said(self) -> Said:
        """Of the whole recording: windows by length, as when the members were calibrated."""
        return Said(self.members, np.average(self.scores, axis=1, weights=[w.n_samples for w in self.windows]))

    @property
    def llrs(self) -> np.ndarray:
        """log10 LRs by window on each member's line, unbounded [M, W]. The lines were fitted to whole clips."""
        return np.stack([m.llr(s) for m, s in zip(self.members, self.scores, strict=True)])


def sliding(n_samples: int) -> tuple[Window, ...]:
    """Windows of 2 s every 0.5 s, the last one moved back to the end; an examination's windows for less than 2 s, and
    where there would be more than ``MOST``."""
    size, hop = round(SLIDE_S * SAMPLE_RATE), round(HOP_S * SAMPLE_RATE)
    if n_samples <= size or n_samples - size > MOST * hop:
        return plan_windows(n_samples)
    starts = [*range(0, n_samples - size, hop), n_samples - size]
    return tuple(Window(i, start, start + size) for i, start in enumerate(starts))


def whole(done: Examination, detector: Detector, members: Sequence[Member], ours: Shipped | None, *,
          on_progress: Callable[[float], Any] | None = None, cancelled: Callable[[], bool] | None = None) -> Said:
    """What every member says of an examined recording. f-InfoED and the panel's members were heard by the examination
    itself, so only ACoRL's networks still listen. Raises Cancelled.
    """
    known = {PANEL + name: score for name, score in done.entropy.member_scores.items()}
    known[FINFOED] = done.entropy.own_score
    ready = [m for m in members if m.key in known or m.key in NETWORKS]
    waiting = [m for m in ready if m.key in NETWORKS]
    if waiting:
        heard = listen(done.recording, detector, waiting, ours, on_progress=on_progress, cancelled=cancelled).said
        known |= {m.key: heard.of(m.key) for m in waiting}
    return Said(tuple(ready), np.array([known[m.key] for m in ready], float))


def listen(recording: Recording, detector: Detector, members: Sequence[Member], ours: Shipped | None, *,
           windows: Sequence[Window] | None = None, encoding: Encoding | None = None,
           on_progress: Callable[[float], Any] | None = None,
           cancelled: Callable[[], bool] | None = None) -> Voices:
    """Scores of the members in ``windows``, by default those of f-InfoED's examination.

    encoding : the examination's (adapters on), which spares the encoder where the windows are its own.

    Raises Cancelled.
    """
    windows = tuple(plan_windows(len(recording.samples)) if windows is None else windows)
    members = tuple(members)
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
    return Voices(members, windows, scores)


def _score(samples: np.ndarray, states: torch.Tensor | None, detector: Detector, keys: Sequence[str],
           ours: Shipped | None) -> np.ndarray:
    """Scores of a batch of windows (B, N): (M, B). states (B, L, T, F): with adapters, encoded here for None."""
    import torch

    from models import views
    from models.panel import NETWORK_VIEWS

    found = {}
    wav = torch.from_numpy(np.ascontiguousarray(samples)).to(detector.device)
    with detector.lock, torch.inference_mode():
        if FINFOED in keys:
            found[FINFOED] = _own(wav, states, detector)
        x = views.prepare(wav)
        tracks, power = views.frame_tracks(x)
        if any(key.startswith(PANEL) for key in keys):
            vectors = views.clip_views(x, tracks, power)
            if any(PANEL + name in keys for name in NETWORK_VIEWS):
                vectors |= detector.panel.hear(wav)[0]
            found |= {PANEL + name: detector.panel.members[name](vector) for name, vector in vectors.items()}
        plane = views.local_tracks(tracks).cpu()
    if ours is not None:
        with ours.lock, torch.inference_mode():
            found |= {name: network(plane) for name, network in ours.networks.items() if name in keys}
    return torch.stack([found[key].float().cpu() for key in keys]).double().numpy()


def _own(wav: torch.Tensor, states: torch.Tensor | None, detector: Detector) -> torch.Tensor:
    """f-InfoED's scores of windows (B, N), from states rounded to fp16 as an examination's are: (B,)."""
    import torch

    if states is None:
        with torch.autocast(detector.device.type, torch.bfloat16, enabled=detector.device.type == "cuda"):
            states = detector.network.encode(wav)
        states = states.clamp(-FP16_MAX, FP16_MAX).half().float()
    return detector.network.analyse(states.to(detector.device)).clip_logit
