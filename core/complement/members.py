"""Every member of the workbench, with what it looks at and the straight line from its score to a log10 likelihood ratio.

ACoRL's networks and f-InfoED carry a calibration of their own; the panel's members get theirs from the held-out scores
beside the default model. A line is not bounded; ``bounds`` say how far it may be read.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from core.calibrate import Calibration, fit_calibration
from core.complement.shipped import FINFOED, NETWORKS, PANEL, Shipped
from core.complement.tables import panel_table
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

    from core.validation import HeldOutScores
    from models.registry import Detector

TITLES = {"cepstra": "Cepstra network", "excitation": "Excitation network", "alliance": "Alliance (ACoRL)",
          FINFOED: "f-InfoED"}
VIEWS = {
    "cepstra": "20 linear-frequency cepstra below 3.8 kHz, every 10 ms",
    "excitation": "predictability of the phase and what linear prediction leaves, every 10 ms",
    "alliance": "both of these; trained to represent what the others don't",
    FINFOED: "frame entropy of a bottleneck behind a speech encoder",
    PANEL + "cepstra": "moments of linear-frequency cepstra",
    PANEL + "phase": "predictability of the phase, per bin",
    PANEL + "residual": "statistics of the prediction residual",
    PANEL + "lines": "narrow lines of the long-term spectrum",
    PANEL + "modulation": "power of the band envelopes at 1-200 Hz",
    PANEL + "aasist": "what a published AASIST network hands to its output layer",
    PANEL + "maps": "maxima over time of the maps inside that network",
}


@dataclass(frozen=True)
class Member:
    """One member. ``key``: as in tables and files; ``line``: of its clip score."""

    key: str
    title: str
    view: str
    line: Calibration

    @property
    def of_panel(self) -> bool:
        return self.key.startswith(PANEL)

    @property
    def reads_network(self) -> bool:
        """Whether it is a member of the panel that reads a network, which takes most of the time wherever it is heard."""
        from models.panel import NETWORK_VIEWS

        return self.key.startswith(PANEL) and self.key.removeprefix(PANEL) in NETWORK_VIEWS

    def llr(self, score: Any) -> Any:
        """Unbounded log10 LR of scores, any shape."""
        return self.line.slope * np.asarray(score) + self.line.intercept


def members(detector: Detector, ours: Shipped | None, panel: bool = True) -> tuple[Member, ...]:
    """ACoRL's networks (none for None), f-InfoED, and the panel's members where the default model has some.

    Raises ModelUnavailable where f-InfoED's calibration makes no sense.
    """
    from core.finding import own_calibration_of

    lines = {} if ours is None else {name: ours.calibrations[name] for name in NETWORKS}
    lines[FINFOED] = own_calibration_of(detector)
    if panel:
        lines |= panel_lines(detector)
    return tuple(Member(key, title(key), VIEWS.get(key, ""), line) for key, line in lines.items())


def title(key: str) -> str:
    """A member's name on screen."""
    return TITLES.get(key) or (f"Panel: {key.removeprefix(PANEL)}" if key.startswith(PANEL) else key)


def panel_lines(detector: Detector) -> dict[str, Calibration]:
    """Key -> calibration of each of the panel's members that has held-out scores; empty without panel or scores."""
    panel, table = detector.panel, panel_table(detector)
    if panel is None or table is None:
        return {}
    names = [PANEL + name for name, share in zip(panel.names, panel.share.tolist(), strict=True) if share]
    known = _fitted(table)
    return {name: known[name] for name in names if name in known}


@lru_cache(maxsize=4)
def _fitted(table: HeldOutScores) -> Mapping[str, Calibration]:
    """Calibrations of the panel's members from the default model's held-out scores."""
    found = {}
    for name, scores in table.others.items():
        known = np.isfinite(scores)
        if name.startswith(PANEL) and len(set(table.bonafide[known])) == 2:
            found[name] = fit_calibration(scores[known], table.bonafide[known].astype(int), table.group[known],
                                          balance(table)[known], n_boot=60)
    return found


def balance(table: HeldOutScores) -> np.ndarray:
    """Weight per clip of a table [n]: inverse square root of how many share its source, label and system."""
    kinds = np.char.add(np.char.add(np.char.add(table.source, "|"), np.char.add(table.label, "|")), table.system)
    _, place, count = np.unique(kinds, return_inverse=True, return_counts=True)
    return count[place] ** -0.5


@dataclass(frozen=True, eq=False)
class PanelMember:
    """One of the panel's members as something that can be explained (see ``core.attribute.scorer.ClipScorer``)."""

    detector: Detector
    view: str
    calibration: Calibration
    bridges: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return PANEL + self.view

    @property
    def content_sha256(self) -> str:
        return hashlib.sha256(f"{self.detector.content_sha256}\n{self.name}".encode()).hexdigest()

    @property
    def lock(self) -> threading.RLock:
        return self.detector.lock

    @property
    def device(self) -> torch.device:
        return self.detector.device

    @property
    def most_s(self) -> float:
        """Seconds of sound in one pass with gradients, as for the panel as a whole."""
        from core.attribute.panel_scorer import PanelScorer

        return PanelScorer.most_s

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> the member's score of each as one window (B,), differentiable."""
        from models import views
        from models.panel import NETWORK_VIEWS

        panel = self.detector.panel
        if self.view in NETWORK_VIEWS:
            return panel.members[self.view](panel.hear(wav)[0][self.view])
        x = views.prepare(wav)
        return panel.members[self.view](views.clip_views(x, *views.frame_tracks(x))[self.view])


def explained(member: Member, detector: Detector, device: str = "auto") -> Any:
    """What ``core.attribute`` explains for a member. Raises ModelUnavailable."""
    from core.attribute.scorer import scorer_of
    from core.detectors import load
    from core.detectors.acorl import PREFIX

    if member.key == FINFOED:
        return scorer_of(detector)
    if member.of_panel:
        if detector.panel is None:
            raise ModelUnavailable(f"{member.title} belongs to a panel, which this model doesn't have.")
        return scorer_of(PanelMember(detector, member.key.removeprefix(PANEL), member.line))
    return scorer_of(load(PREFIX + member.key, device))
