"""The panel over a whole recording: its own windows, longer than the encoder's, one after the other.

A window is up to 8 s, because statistics over more speech are steadier; a remainder of less than 4 s is covered by one
more full window that overlaps its predecessor. One rule for examining, for lists and for training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.dropouts import bridged
from core.entropy import clip_score
from core.errors import Cancelled
from core.frames import Window, plan_windows
from core.timeline import Timeline

if TYPE_CHECKING:
    from core.audio import Recording
    from models.panel import Panel
    from models.registry import Detector

WINDOW, LEAST = 128_000, 64_000  # samples
HOP_S = 0.02


@dataclass(frozen=True, eq=False)
class PanelReading:
    """What the panel says of W windows; scores, members and frames are higher for bona fide."""

    scores: np.ndarray  # (W,)
    members: np.ndarray  # (W, M)
    traces: np.ndarray  # (W, len(TRACES)), higher the plainer
    frames: np.ndarray  # (T,) on the recording's 20 ms grid
    timeline: Timeline

    def speech_seconds(self, speech: np.ndarray) -> np.ndarray:
        """Seconds of speech that each window alone stands for (W,); speech: weight of each 20 ms frame (T',).

        The last weight is held where the grid here is longer by a frame.
        """
        held = speech[np.minimum(np.arange(self.timeline.n_frames), len(speech) - 1)]
        return self.timeline.speech_seconds(held, HOP_S)

    def clip_members(self, names: Sequence[str], seconds: np.ndarray) -> dict[str, float]:
        """Each member's score of the whole recording, as the panel's own is made: windows by their seconds (W,)."""
        return {name: clip_score(self.members[:, j], seconds) for j, name in enumerate(names)}

    def clip_traces(self, seconds: np.ndarray) -> dict[str, float]:
        """How plainly the whole recording bears each of ``models.panel.TRACES``, windows by their seconds (W,)."""
        from models.panel import TRACES

        return {name: clip_score(self.traces[:, j], seconds) for j, name in enumerate(TRACES)}


def panel_windows(n_samples: int) -> tuple[Window, ...]:
    """The panel's windows of a recording of so many samples at 16 kHz."""
    return plan_windows(n_samples, window=WINDOW, min_window=LEAST)


def read_panel(recording: Recording, detector: Detector, **hooks: Any) -> PanelReading | None:
    """The detector's panel on a recording, under the detector's lock; None where it has no panel. Raises Cancelled."""
    if detector.panel is None:
        return None
    with detector.lock:
        return listen(recording.samples, detector.panel, detector.device, **hooks)


def listen(samples: np.ndarray, panel: Panel, device: object = "cpu", *,
           on_progress: Callable[[float], object] | None = None,
           cancelled: Callable[[], bool] | None = None) -> PanelReading:
    """The panel on samples float32 (n,) at 16 kHz, window by window, lost packets bridged. Raises Cancelled; ValueError
    for no samples.
    """
    import torch

    from models.panel import TRACES

    windows = panel_windows(len(samples))
    if not windows:
        raise ValueError("there are no samples to listen to")
    timeline = Timeline.plan(windows, [max(1, w.n_samples // round(HOP_S * 16_000)) for w in windows], HOP_S)
    scores, members = np.zeros(len(windows)), np.zeros((len(windows), len(panel.names)))
    traces = np.zeros((len(windows), len(TRACES)))
    frames = np.zeros(timeline.n_frames, np.float32)
    for window in windows:
        if cancelled is not None and cancelled():
            raise Cancelled()
        wav = bridged(np.array(samples[window.start : window.stop], np.float32))
        with torch.inference_mode():
            out = panel(torch.from_numpy(wav).unsqueeze(0).to(device))
        scores[window.index], members[window.index] = float(out.clip), out.members[0].cpu().numpy()
        traces[window.index] = out.traces[0].cpu().numpy()
        timeline.put(frames, window.index, out.frames[0].cpu().numpy())
        if on_progress is not None:
            on_progress((window.index + 1) / len(windows))
    return PanelReading(scores, members, traces, frames, timeline)
