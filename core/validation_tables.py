"""How wrong a detector is, in all and by kind of material, from its table of held-out scores.

The two classes are what they are in ``core.metrics``. A table over something that only spoofed clips have (system,
family) sets each kind against all bona fide clips; one over something that both have (language, codec, duration, source)
compares the classes within each kind. Intervals are 95 % bootstraps over whole speakers and whole systems; where all
spoofed trials are of one system, over its clips, which says nothing about other systems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from core import metrics
from core.bootstrap import GroupResampler, Interval, percentile_interval
from core.metrics import FEW_TRIALS, LN10
from core.validation import HeldOutScores
from core.validation_curves import (
    DetPoints,
    EcePlot,
    Reliability,
    Tippett,
    det_curves,
    ece_plot,
    reliability,
    tippett,
)

VERY_FEW = 10  # below this a class gives no rate worth reading
DURATIONS_S = (0.0, 1.0, 2.0, 4.0, float("inf"))
NOT_KNOWN = "not stated"
NAMES = {"family": "kind of synthesis", "system": "system", "source": "source", "language": "language",
         "codec": "original codec", "rate": "original sample rate", "duration": "duration"}
SPOOF_ONLY = ("family", "system")


@dataclass(frozen=True)
class GroupRow:
    """One kind of material: trials of each class, EER and Cllr with intervals (None: not computable), and a warning."""

    name: str
    bonafide: int
    spoof: int
    eer: Interval | None = None
    cllr: Interval | None = None
    warning: str = ""

    def cells(self) -> dict[str, Any]:
        """Flat, for tables and CSV: rates as fractions, empty where there is none."""
        out: dict[str, Any] = {"group": self.name, "bona_fide": self.bonafide, "spoof": self.spoof}
        for key in ("eer", "cllr"):
            interval = getattr(self, key)
            out |= {f"{key}{end}": None if interval is None else _rounded(value) for end, value in
                    (("", getattr(interval, "value", 0)), ("_low", getattr(interval, "low", 0)),
                     ("_high", getattr(interval, "high", 0)))}
        return out | {"warning": self.warning}


@dataclass(frozen=True, eq=False)
class Validation:
    """Everything that the held-out table says, ready to be shown.

    headline: figure -> interval, of eer, eer_macro, min_dcf, and with likelihood ratios cllr, cllr_min, act_dcf and
    ece_even; threshold: the score at which both errors are equal; tables: by ``NAMES``; what needs likelihood ratios may
    be None.
    """

    n: tuple[int, int]
    systems: int
    speakers: int
    sources: int
    headline: dict[str, Interval]
    threshold: float
    warning: str
    det: list[DetPoints]
    tippett: Tippett | None = None
    ece: EcePlot | None = None
    reliability: Reliability | None = None
    tables: dict[str, list[GroupRow]] = field(default_factory=dict)

    def metrics(self) -> dict[str, Any]:
        """The figures as a model card has them under ``metrics``."""
        held = {{"eer": "eer_pooled"}.get(k, k): _ends(i) for k, i in self.headline.items()}
        held["eer_pooled"] |= {"bona_fide": self.n[0], "spoof": self.n[1]}
        families = {r.name: _ends(r.eer) | {"bona_fide": r.bonafide, "spoof": r.spoof}
                    for r in self.tables.get("family", ()) if r.eer}
        return {"leave_source_out": held, "by_family": families}


def _ends(interval: Interval) -> dict[str, Any]:
    return {e: _rounded(getattr(interval, e)) for e in ("value", "low", "high")}


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def trials_warning(bonafide: int, spoof: int) -> str:
    """What to say about few trials; empty where both classes have ``FEW_TRIALS`` or more."""
    least = min(bonafide, spoof)
    if least >= FEW_TRIALS:
        return ""
    which = "bona fide" if bonafide == least else "spoofed"
    if least < VERY_FEW:
        return f"only {least} {which} trial{'' if least == 1 else 's'}: not a rate"
    return f"few: {least} {which} trials"


def headline(held: HeldOutScores, n: int = 400) -> dict[str, Interval]:
    """Pooled figures with intervals. ``n`` resamples; those with a sort each get a quarter of them at least 50."""
    b, s = held.split()
    groups = held.split(held.group)
    out = {"eer": metrics.eer_interval(b, s, *groups, n=n),
           "eer_macro": metrics.macro_eer(b, s, held.system[~held.bonafide], groups[0], n=max(2, n // 2))[0]}
    fewer = max(2, min(n, max(50, n // 4)))
    out["min_dcf"] = metrics.bootstrap_interval(metrics.min_dcf, b, s, *groups, n=fewer)
    if not held.has_llr:
        return out
    lb, ls = held.split(held.llr_log10)
    out["act_dcf"] = metrics.bootstrap_interval(metrics.act_dcf, lb * LN10, ls * LN10, *groups, n=n)
    out["min_dcf"] = metrics.bootstrap_interval(metrics.min_dcf, lb, ls, *groups, n=fewer)
    out["cllr"] = cllr_interval(lb, ls, *groups, n=n)
    out["cllr_min"] = metrics.bootstrap_interval(metrics.cllr_min, lb, ls, *groups, n=fewer)
    out["ece_even"] = replace(out["cllr"])  # at even prior odds the empirical cross-entropy is Cllr
    return out


def cllr_interval(llr_b: np.ndarray, llr_s: np.ndarray, groups_b: np.ndarray, groups_s: np.ndarray, *, n: int = 400,
                  seed: int = 0) -> Interval:
    """Cllr with its grouped bootstrap interval. It is a mean of costs, so resamples are weightings of them."""
    rng = np.random.default_rng(seed)
    means = []
    for llr, groups, sign in ((llr_b, groups_b, -1), (llr_s, groups_s, 1)):
        cost = np.logaddexp(0.0, sign * llr * LN10) / np.log(2)
        draw = GroupResampler(groups, cost.size, rng)
        step = max(1, 4_000_000 // cost.size)
        counts = (draw.counts(min(step, n - i)) for i in range(0, n, step))
        means.append(np.concatenate([c @ cost / c.sum(1) for c in counts]) if n else np.zeros(0))
    return percentile_interval(metrics.cllr(llr_b, llr_s), (means[0] + means[1]) / 2, 0.95)


def group_row(name: str, held: HeldOutScores, mask_b: np.ndarray, mask_s: np.ndarray, n: int = 200) -> GroupRow:
    """One row: the bona fide clips of ``mask_b`` against the spoofed clips of ``mask_s``, boolean [n] each."""
    mask_b, mask_s = mask_b & held.bonafide, mask_s & ~held.bonafide
    count = int(mask_b.sum()), int(mask_s.sum())
    if not all(count):
        return GroupRow(name, *count, warning="one class only: no rate")
    group_b, group_s = held.group[mask_b], held.group[mask_s]
    if len(np.unique(group_s)) == 1:
        group_s = held.clip[mask_s]
    rate = metrics.eer_interval(held.score[mask_b], held.score[mask_s], group_b, group_s, n=n)
    cost = None
    if held.has_llr:
        cost = cllr_interval(held.llr_log10[mask_b], held.llr_log10[mask_s], group_b, group_s, n=n)
    return GroupRow(name, *count, rate, cost, trials_warning(*count))


def duration_names(duration_s: np.ndarray) -> np.ndarray:
    """The class of duration of each clip [n] in words, empty where it is not known."""
    names = np.full(len(duration_s), "", dtype="<U16")
    for low, high in pairwise(DURATIONS_S):
        words = f"{low:g} s and more" if np.isinf(high) else f"{low:g} to {high:g} s"
        names[(duration_s >= low) & (duration_s < high)] = words
    return names


def kinds(held: HeldOutScores, by: str) -> np.ndarray:
    """The kind of each clip [n] as words, for one of ``NAMES``."""
    if by == "duration":
        return duration_names(held.duration_s)
    if by == "rate":
        known = np.isfinite(held.rate_hz)
        return np.where(known, np.char.add(np.where(known, held.rate_hz, 0).astype(int).astype(str), " Hz"), "")
    return getattr(held, by)


def table(held: HeldOutScores, by: str, n: int = 200) -> list[GroupRow]:
    """One table; rows in the order of their error, durations in their own. No rows where nothing is known of it."""
    names = kinds(held, by)
    if not (names != "").any():
        return []
    everyone = np.ones(len(held), bool)
    rows = []
    for name in np.unique(names[~held.bonafide] if by in SPOOF_ONLY else names):
        here = names == name
        rows.append(group_row(str(name) or NOT_KNOWN, held, everyone if by in SPOOF_ONLY else here, here, n))
    if by in ("duration", "rate"):
        return sorted(rows, key=lambda r: (r.name == NOT_KNOWN, float(r.name.split()[0]) if r.name[:1].isdigit() else 0))
    return sorted(rows, key=lambda r: (r.eer is None, -(r.eer.value if r.eer else 0), r.name))


def validate(held: HeldOutScores, name: str = "this detector", *, n: int = 400,
             on_progress: Callable[[float, str], Any] | None = None) -> Validation:
    """Everything at once. ``n`` bootstrap resamples for the headline, half of it per row; fewer for very large tables."""
    say = on_progress or (lambda share, words: None)
    n = max(50, min(n, 40_000_000 // max(1, len(held))))
    b, s = held.split()
    say(0.0, "error rates")
    figures = headline(held, n)
    found = {}
    for i, by in enumerate(NAMES):
        say(0.3 + 0.6 * i / len(NAMES), f"by {NAMES[by]}")
        found[by] = table(held, by, max(50, n // 2))
    say(0.92, "calibration")
    llr = held.has_llr
    speakers = np.unique(held.speaker[held.bonafide & (held.speaker != "")])
    return Validation((b.size, s.size), len(np.unique(held.system[~held.bonafide])), len(speakers),
                      len(np.unique(held.source)), figures, metrics.eer(b, s)[1], trials_warning(b.size, s.size),
                      det_curves(held, name), tippett(held) if llr else None, ece_plot(held) if llr else None,
                      reliability(held, max(50, n // 2)) if llr else None, {k: v for k, v in found.items() if v})
