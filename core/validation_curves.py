"""The curves that an examiner judges a detector by, from its table of held-out scores.

Nothing is trained, and nothing is drawn here (``core.figures.validation`` draws them).

References:
  ASVspoof 5 evaluation plan (2024): DET curves.
  D. Meuwly, Ph.D. thesis, Lausanne 2001: Tippett plots of likelihood ratios.
  D. Ramos et al., Deconstructing cross-entropy for probabilistic binary classifiers, Entropy 20 (2018): ECE plots.
  T. Dimitriadis, T. Gneiting, A. Jordan, Stable reliability diagrams, PNAS 118 (2021): reliability by PAV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import metrics
from core.bootstrap import GroupResampler
from core.validation import HeldOutScores

PRIOR_ODDS = np.round(np.linspace(-2.5, 2.5, 101), 3)  # log10, of an ECE plot
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class DetPoints:
    """A DET curve: false-alarm and miss rates [k], and where they are equal. ``n``: trials (bona fide, spoof)."""

    name: str
    far: np.ndarray
    frr: np.ndarray
    eer: float
    n: tuple[int, int]


def det_points(name: str, bonafide: np.ndarray, spoof: np.ndarray, most: int = 500) -> DetPoints:
    """The DET curve of two classes of scores with at most ``most`` points; those nearest to the corner stay."""
    curve = metrics.det_curve(bonafide, spoof, merge_ties=True)
    far, frr = curve.far, curve.frr
    if len(far) > most:
        keep = np.unique(np.concatenate([np.searchsorted(frr, np.geomspace(0.5 / bonafide.size, 1, most // 2)),
                                         len(far) - 1 - np.searchsorted(far[::-1],
                                                                        np.geomspace(0.5 / spoof.size, 1, most // 2)),
                                         [0, len(far) - 1, int(np.argmin(np.abs(far - frr)))]]))
        keep = keep[(keep >= 0) & (keep < len(far))]
        far, frr = far[keep], frr[keep]
    return DetPoints(name, far, frr, metrics.eer(bonafide, spoof)[0], (bonafide.size, spoof.size))


def det_curves(held: HeldOutScores, name: str = "this detector") -> list[DetPoints]:
    """The detector's DET curve first, then those of the other detectors in the table, each on the clips it heard."""
    curves = [det_points(name, *held.split())]
    for other, scores in held.others.items():
        b, s = (x[np.isfinite(x)] for x in held.split(scores))
        if b.size and s.size:
            curves.append(det_points(other, b, s))
    return curves


@dataclass(frozen=True, eq=False)
class Tippett:
    """Shares of trials whose log10 LR is at or above ``llr_log10`` [k]; and the rates of misleading evidence."""

    llr_log10: np.ndarray
    bonafide: np.ndarray
    spoof: np.ndarray
    misleading_bonafide: float  # share of bona fide trials with LLR < 0
    misleading_spoof: float  # share of spoofed trials with LLR > 0


def tippett(held: HeldOutScores, most: int = 400) -> Tippett:
    """Tippett curves of the cross-validated likelihood ratios."""
    b, s = held.split(held.llr_log10)
    every = np.unique(held.llr_log10)
    grid = every if every.size <= most else np.quantile(every, np.linspace(0, 1, most))
    margin = max(0.05, 0.05 * float(np.ptp(every)))
    x, at_b, at_s = metrics.tippett(b, s, np.concatenate(([every[0] - margin], grid, [every[-1] + margin])))
    return Tippett(x, at_b, at_s, float(np.mean(b < 0)), float(np.mean(s > 0)))


@dataclass(frozen=True, eq=False)
class EcePlot:
    """Empirical cross-entropy in bits over prior log10 odds (bona fide : spoof) [k]: as stated, best, and for LR = 1."""

    prior_log10_odds: np.ndarray
    stated: np.ndarray
    best: np.ndarray
    neutral: np.ndarray

    @property
    def worse_than_nothing(self) -> np.ndarray:
        """Priors [j] at which the stated LRs cost more than no evidence at all."""
        return self.prior_log10_odds[self.stated > self.neutral * (1 + 1e-9)]


def ece_plot(held: HeldOutScores, prior_log10_odds: np.ndarray = PRIOR_ODDS) -> EcePlot:
    """The ECE plot of the cross-validated LRs, with its PAV-calibrated and its LR = 1 reference."""
    b, s = held.split(held.llr_log10)
    best = metrics.ece(*metrics.pav_llrs(b, s), prior_log10_odds)
    return EcePlot(prior_log10_odds, metrics.ece(b, s, prior_log10_odds), best, metrics.ece_neutral(prior_log10_odds))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Stated against borne-out probability of bona fide at even prior odds: [k] each, with a bootstrap band.

    shares_*: share of each class's trials in ten equal bins of the stated probability.
    """

    stated: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    edges: np.ndarray
    shares_bonafide: np.ndarray
    shares_spoof: np.ndarray


def reliability(held: HeldOutScores, n: int = 200, seed: int = 0, most: int = 200) -> Reliability:
    """Reliability by pool-adjacent-violators (Dimitriadis et al. 2021), the classes weighing the same; its band draws
    whole speakers and systems anew.
    """
    b, s = held.split(held.llr_log10)
    every = np.unique(np.concatenate((b, s)))
    grid = every if every.size <= most else np.quantile(every, np.linspace(0, 1, most))
    rng = np.random.default_rng(seed)
    groups = held.split(held.group)
    draw_b, draw_s = GroupResampler(groups[0], b.size, rng), GroupResampler(groups[1], s.size, rng)
    draws = []
    for _ in range(n):
        wb, ws = draw_b.counts(1)[0], draw_s.counts(1)[0]
        draws.append(_borne_out(b[wb > 0], s[ws > 0], wb[wb > 0], ws[ws > 0], grid))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) if draws else (np.nan, np.nan)
    observed = _borne_out(b, s, np.ones(b.size), np.ones(s.size), grid)
    edges = np.linspace(0, 1, 11)
    shares = [np.histogram(probability(x), edges)[0] / x.size for x in (b, s)]
    return Reliability(probability(grid), observed, np.broadcast_to(low, grid.shape), np.broadcast_to(high, grid.shape),
                       edges, *shares)


def probability(llr_log10: np.ndarray) -> np.ndarray:
    """Probability of bona fide at even prior odds, from log10 LRs."""
    return 1.0 / (1.0 + 10.0 ** -np.clip(llr_log10, -300, 300))


def _borne_out(b: np.ndarray, s: np.ndarray, wb: np.ndarray, ws: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """PAV probability of bona fide at even priors, read off at each LLR of ``grid`` [k] (constant beyond the ends)."""
    best = np.concatenate(metrics.pav_llrs(b, s, weights_bonafide=wb, weights_spoof=ws))
    x, first = np.unique(np.concatenate((b, s)), return_index=True)
    return np.interp(grid, x, probability(best[first]))
