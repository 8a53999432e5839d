"""How far members are apart on one recording, and when that is so unusual that no finding should be given.

The measure is the deviation of the members' bounded log10 LRs around their mean. The limit is that of held-out clips: no
more than ``SHARE`` of them exceed it. Whether what exceeds it is wrong more often is measured (``table``), not assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration

if TYPE_CHECKING:
    from core.finding import Reason

SHARE = 0.05
CODE = "members-disagree"
FEWEST = 3  # members; two that differ are not yet a disagreement about anything


@dataclass(frozen=True)
class Disagreement:
    """value : deviation of the members' log10 LRs; limit : on held-out clips; spoof, bonafide : members by
    the side they take (beyond 0.3 in log10)."""

    value: float
    limit: float
    spoof: tuple[str, ...]
    bonafide: tuple[str, ...]

    @property
    def beyond(self) -> bool:
        """Whether the members are further apart than on all but ``SHARE`` of the held-out clips, on both sides."""
        return self.value > self.limit and bool(self.spoof) and bool(self.bonafide)

    @property
    def words(self) -> str:
        """One sentence."""
        sides = f"{len(self.bonafide)} towards bona fide, {len(self.spoof)} towards synthesis"
        how = "further apart than on" if self.value > self.limit else "no further apart than on"
        return (f"The members are {how} {1 - SHARE:.0%} of the held-out clips (deviation {self.value:.2f} in log10, "
                f"limit {self.limit:.2f}; {sides}).")


def spread_of(llrs: np.ndarray) -> np.ndarray:
    """Deviation over members of log10 LRs (M, n) -> (n,)."""
    return np.asarray(llrs, np.float64).std(axis=0)


def limit_of(lines: Mapping[str, Calibration], scores: Mapping[str, np.ndarray]) -> float:
    """The limit from held-out scores by member [n] and the members' lines."""
    llrs = np.stack([lines[k].apply_many(scores[k])[0] for k in lines])
    return float(np.quantile(spread_of(llrs), 1 - SHARE))


def disagreement(scores: Mapping[str, float], lines: Mapping[str, Calibration], limit: float) -> Disagreement | None:
    """Members' raw clip scores against their lines; None for fewer than ``FEWEST`` members."""
    shared = [k for k in lines if k in scores]
    if len(shared) < FEWEST:
        return None
    llrs = {k: lines[k].apply(float(scores[k])).value for k in shared}
    return Disagreement(float(spread_of(np.array(list(llrs.values())))), limit,
                        tuple(k for k, v in llrs.items() if v < -0.3), tuple(k for k, v in llrs.items() if v > 0.3))


def panel_disagreement(member_scores: Mapping[str, float], detector: Any) -> Disagreement | None:
    """The same for the panel's members, from ``EntropyAnalysis.member_scores``; costs nothing beyond an examination.

    None without a panel or without held-out scores beside the model.
    """
    from core.complement.members import panel_lines
    from core.complement.shipped import PANEL
    from core.complement.tables import panel_scores

    lines = panel_lines(detector)
    held = panel_scores(detector)
    if len(lines) < FEWEST or not set(lines) <= set(held):
        return None
    return disagreement({PANEL + k: v for k, v in member_scores.items()}, lines, limit_of(lines, held))


def reason(found: Disagreement | None) -> Reason | None:
    """A reason to abstain, or None where the members are not unusually far apart on both sides."""
    from core.finding import Reason

    if found is None or not found.beyond:
        return None
    return Reason(CODE, "the members of the panel contradict each other more than on nearly all known clips", found.value,
                  found.limit, "log10")


def table(llr: np.ndarray, bonafide: np.ndarray, spread: np.ndarray, shares: Sequence[float] = (0.05, 0.1, 0.25)
          ) -> list[dict[str, float]]:
    """How often a finding (log10 LR [n]) is on the wrong side, among the clips with the largest spread and the others."""
    wrong = (llr > 0) != bonafide
    rows = []
    for share in shares:
        flagged = spread > np.quantile(spread, 1 - share)
        rows.append({"share": share, "limit": round(float(np.quantile(spread, 1 - share)), 4),
                     "wrong_beyond": round(float(wrong[flagged].mean()), 4),
                     "wrong_within": round(float(wrong[~flagged].mean()), 4), "clips_beyond": int(flagged.sum())})
    return rows
