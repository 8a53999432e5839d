"""How far members contradict each other on one recording, and when that is so unusual that no finding should be given.

The measure is the share of the members' evidence (sum of their bounded log10 LRs, without signs) that points the other
way than most of it: 0 where all point one way, 0.5 where they cancel. The limit is that of held-out clips: ``SHARE`` of
them exceed it. Whether what exceeds it is wrong more often is measured (``table``), not assumed. The plain deviation of
the log10 LRs, tried first, is larger where the finding is right: strong evidence differs in size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from core.calibrate import Calibration

SHARE = 0.03
CODE = "members-disagree"
FEWEST = 3  # members; two that differ are not yet a disagreement about anything


@dataclass(frozen=True)
class Disagreement:
    """value : share of the evidence against the side that has more of it; limit : exceeded by ``SHARE`` of the held-out
    clips; spoof, bonafide : keys of the members by the side they take."""

    value: float
    limit: float
    spoof: tuple[str, ...]
    bonafide: tuple[str, ...]

    @property
    def beyond(self) -> bool:
        """Whether the members contradict each other more than on all but ``SHARE`` of the held-out clips."""
        return self.value > self.limit

    @property
    def words(self) -> str:
        """One sentence."""
        sides = f"{len(self.bonafide)} lean towards bona fide, {len(self.spoof)} towards synthesis"
        if self.beyond:
            return (f"The panel's members contradict each other: {sides}, and {self.value:.0%} of their evidence "
                    f"points the other way, more than on {1 - SHARE:.0%} of the held-out clips.")
        return (f"The panel's members don't contradict each other unusually: {sides}, and {self.value:.0%} of their "
                f"evidence points the other way (limit {self.limit:.0%}).")


def opposed(llrs: np.ndarray) -> np.ndarray:
    """Share of the evidence that points the other way: log10 LRs (M, n) -> (n,) in 0..0.5; 0 where all are silent."""
    x = np.asarray(llrs, np.float64)
    one, other = np.clip(x, 0, None).sum(0), np.clip(-x, 0, None).sum(0)
    total = one + other
    return np.divide(np.minimum(one, other), total, out=np.zeros_like(total), where=total > 0)


def limit_of(lines: Mapping[str, Calibration], scores: Mapping[str, np.ndarray]) -> float:
    """The limit from held-out scores by member [n] and the members' lines."""
    return float(np.quantile(opposed(bounded(lines, scores)), 1 - SHARE))


def bounded(lines: Mapping[str, Calibration], scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Bounded log10 LRs (M, n) of held-out scores by member [n], in the order of the lines."""
    return np.stack([line.apply_many(scores[key])[0] for key, line in lines.items()])


def disagreement(scores: Mapping[str, float], lines: Mapping[str, Calibration], limit: float) -> Disagreement | None:
    """Members' raw clip scores against their lines; None for fewer than ``FEWEST`` members."""
    shared = [k for k in lines if k in scores]
    if len(shared) < FEWEST:
        return None
    llrs = {k: lines[k].apply(float(scores[k])).value for k in shared}
    return Disagreement(float(opposed(np.array(list(llrs.values())))), limit, tuple(k for k, v in llrs.items() if v < 0),
                        tuple(k for k, v in llrs.items() if v > 0))


def panel_disagreement(member_scores: Mapping[str, float], detector: Any) -> Disagreement | None:
    """The same for the panel's members, from ``EntropyAnalysis.member_scores``; costs nothing beyond an examination.

    None without a panel or without held-out scores beside the model.
    """
    from core.complement.members import panel_lines
    from core.complement.shipped import PANEL
    from core.complement.tables import panel_scores

    lines = panel_lines(detector)
    if len(lines) < FEWEST:
        return None
    return disagreement({PANEL + k: v for k, v in member_scores.items()}, lines, limit_of(lines, panel_scores(detector)))


def table(llr: np.ndarray, bonafide: np.ndarray, measure: np.ndarray, shares: Sequence[float] = (0.05, 0.1, 0.25)
          ) -> list[dict[str, float]]:
    """How often a finding (log10 LR [n]) is on the wrong side, among clips with the largest measure and the others."""
    wrong = (llr > 0) != bonafide
    rows = []
    for share in shares:
        flagged = measure > np.quantile(measure, 1 - share)
        rows.append({"share": share, "limit": round(float(np.quantile(measure, 1 - share)), 4),
                     "wrong_beyond": round(float(wrong[flagged].mean()), 4),
                     "wrong_within": round(float(wrong[~flagged].mean()), 4), "clips_beyond": int(flagged.sum())})
    return rows


def by_size(llr: np.ndarray, bonafide: np.ndarray, measure: np.ndarray, edges: Sequence[float] = (0.0, 0.2, 0.5, 1.0, 9.0)
            ) -> list[dict[str, float]]:
    """Whether the measure says more than the size of the finding does: within ranges of its size, how often a wrong
    finding has the larger measure than a right one (0.5: says nothing more)."""
    wrong, size, rows = (llr > 0) != bonafide, np.abs(llr), []
    for low, high in pairwise(edges):
        here = (size >= low) & (size < high)
        a, b = measure[here & wrong], measure[here & ~wrong]
        if len(a) and len(b):
            larger = np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b))
            rows.append({"from": low, "to": high, "clips": int(here.sum()), "wrong": round(float(wrong[here].mean()), 4),
                         "larger_where_wrong": round(float(larger), 4)})
    return rows
