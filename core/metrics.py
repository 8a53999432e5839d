"""How good scores are: error rates, costs and information, with intervals.

Conventions of the ASVspoof 5 evaluation plan throughout: a score is higher for bona fide speech, a *miss* is
a rejected bona fide trial, a *false alarm* an accepted spoof. Every function takes the two classes as two
arrays. Likelihood ratios are p(evidence | bona fide) / p(evidence | spoof); the base of their logarithm is in
the argument's name. No calibration is fitted here (`core.calibrate`), nothing is drawn (`core.figures`).

References:
  ASVspoof 5 evaluation plan (2024): DET, EER, minDCF, actDCF.
  N. Brümmer and J. du Preez, Application-independent evaluation of speaker detection, CSL 20 (2006): Cllr.
  D. Ramos et al., Deconstructing cross-entropy for probabilistic binary classifiers, Entropy 20 (2018): ECE.
  T. Kinnunen et al., Tandem assessment of spoofing countermeasures and ASV, TASLP 28 (2020): t-DCF.
  H. Shim et al., a-DCF: an architecture agnostic metric, Odyssey 2024.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core.bootstrap import Interval, bootstrap_interval, eer_interval, macro_eer
from core.det import DetCurve, as_scores, as_weights, det_curve, eer
from core.localise import FrameScores, range_eer, range_f1

__all__ = [
    "FEW_TRIALS", "LN10", "DetCurve", "FrameScores", "Interval", "a_dcf", "act_dcf", "bootstrap_interval",
    "cllr", "cllr_min", "det_curve", "ece", "ece_neutral", "eer", "eer_interval", "macro_eer", "min_dcf",
    "pav_llrs", "range_eer", "range_f1", "t_dcf", "tippett",
]  # fmt: skip

LN10 = float(np.log(10.0))
FEW_TRIALS = 200  # below this an EER is shown with a warning


def min_dcf(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
) -> float:
    """Lowest detection cost over thresholds, divided by the cost of the better constant answer."""
    curve = det_curve(bonafide, spoof, weights_bonafide=weights_bonafide, weights_spoof=weights_spoof)
    cost = c_miss * (1 - p_spoof) * curve.frr + c_fa * p_spoof * curve.far
    return float(cost.min() / min(c_miss * (1 - p_spoof), c_fa * p_spoof))


def act_dcf(
    llr_ln_bonafide: ArrayLike,
    llr_ln_spoof: ArrayLike,
    *,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
) -> float:
    """Normalised cost at the Bayes threshold -ln(beta), beta = c_miss (1 - p_spoof) / (c_fa p_spoof).

    Takes NATURAL-log likelihood ratios, as the evaluation plan does (log10 LRs: multiply by `LN10`).
    """
    b, s = as_scores(llr_ln_bonafide, "bona fide LLRs"), as_scores(llr_ln_spoof, "spoof LLRs")
    threshold = -np.log(c_miss * (1 - p_spoof) / (c_fa * p_spoof))
    cost = c_miss * (1 - p_spoof) * np.mean(b < threshold) + c_fa * p_spoof * np.mean(s >= threshold)
    return float(cost / min(c_miss * (1 - p_spoof), c_fa * p_spoof))


def cllr(
    llr_log10_bonafide: ArrayLike,
    llr_log10_spoof: ArrayLike,
    *,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
) -> float:
    """Log-likelihood-ratio cost in bits: 0 is perfect, 1 says nothing, more misleads. Takes log10 LRs."""
    b, s = as_scores(llr_log10_bonafide, "bona fide LLRs"), as_scores(llr_log10_spoof, "spoof LLRs")
    cost_b = np.logaddexp(0.0, -b * LN10) / np.log(2)
    cost_s = np.logaddexp(0.0, s * LN10) / np.log(2)
    mean_b = np.average(cost_b, weights=as_weights(weights_bonafide, b.size))
    mean_s = np.average(cost_s, weights=as_weights(weights_spoof, s.size))
    return float(mean_b + mean_s) / 2


def pav_llrs(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The best monotone recalibration in hindsight, by pool-adjacent-violators: log10 LRs of both classes.

    Ties are pooled. Values at the ends may be -inf or +inf, which costs nothing where it is right.
    """
    from scipy.optimize import isotonic_regression

    b, s = as_scores(bonafide, "bona fide scores"), as_scores(spoof, "spoof scores")
    wb, ws = as_weights(weights_bonafide, b.size), as_weights(weights_spoof, s.size)
    values, place = np.unique(np.concatenate((b, s)), return_inverse=True)
    share_b = np.bincount(place, np.concatenate((wb / wb.sum(), np.zeros(s.size))), values.size)
    share_s = np.bincount(place, np.concatenate((np.zeros(b.size), ws / ws.sum())), values.size)
    weight = share_b + share_s  # both classes weigh one: the posterior's odds are the likelihood ratio
    kept = weight > 0
    posterior = np.zeros(values.size)
    posterior[kept] = isotonic_regression(share_b[kept] / weight[kept], weights=weight[kept]).x
    with np.errstate(divide="ignore"):
        llr = (np.log10(posterior) - np.log10(1.0 - posterior))[place]
    return llr[: b.size], llr[b.size :]


def cllr_min(bonafide: ArrayLike, spoof: ArrayLike, **weights: ArrayLike | None) -> float:
    """Cllr after the best monotone recalibration: what discrimination alone would cost, in bits."""
    return cllr(*pav_llrs(bonafide, spoof, **weights), **weights)


def ece(llr_log10_bonafide: ArrayLike, llr_log10_spoof: ArrayLike, prior_log10_odds: ArrayLike) -> np.ndarray:
    """Empirical cross-entropy in bits at each prior log10 odds (bona fide : spoof), [k].

    At even odds it is Cllr. A system that always says LR = 1 costs the prior's own entropy (`ece_neutral`).
    """
    b, s = as_scores(llr_log10_bonafide, "bona fide LLRs"), as_scores(llr_log10_spoof, "spoof LLRs")
    odds = np.asarray(prior_log10_odds, dtype=np.float64).reshape(-1) * LN10
    p = 1.0 / (1.0 + np.exp(-odds))
    cost_b = [np.mean(np.logaddexp(0.0, -b * LN10 - o)) for o in odds]
    cost_s = [np.mean(np.logaddexp(0.0, s * LN10 + o)) for o in odds]
    return (p * np.array(cost_b) + (1 - p) * np.array(cost_s)) / np.log(2)


def ece_neutral(prior_log10_odds: ArrayLike) -> np.ndarray:
    """Cross-entropy in bits of LR = 1 at each prior log10 odds: the curve that an ECE plot must stay
    under.
    """
    return ece(np.zeros(1), np.zeros(1), prior_log10_odds)


def tippett(
    llr_log10_bonafide: ArrayLike, llr_log10_spoof: ArrayLike, grid: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tippett plot: (log10 LRs, share of bona fide trials at or above, share of spoofed trials at or
    above).
    """
    b, s = np.sort(as_scores(llr_log10_bonafide)), np.sort(as_scores(llr_log10_spoof))
    x = np.unique(np.concatenate((b, s))) if grid is None else np.asarray(grid, dtype=np.float64)
    return x, 1 - np.searchsorted(b, x) / b.size, 1 - np.searchsorted(s, x) / s.size


def t_dcf(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    p_miss_asv: float,
    p_fa_asv: float,
    p_miss_spoof_asv: float,
    p_target: float = 0.9405,
    p_nontarget: float = 0.0095,
    p_spoof: float = 0.05,
    c_miss_asv: float = 1.0,
    c_fa_asv: float = 10.0,
    c_miss_cm: float = 1.0,
    c_fa_cm: float = 10.0,
) -> float:
    """Legacy (2019) minimum tandem cost, C1 P_miss + C2 P_fa over min(C1, C2), for a given speaker
    verifier.
    """
    c1 = p_target * (c_miss_cm - c_miss_asv * p_miss_asv) - p_nontarget * c_fa_asv * p_fa_asv
    c2 = c_fa_cm * p_spoof * (1 - p_miss_spoof_asv)
    if c1 <= 0 or c2 <= 0:
        raise ValueError("this speaker verifier's error rates leave the tandem cost without a meaning")
    curve = det_curve(bonafide, spoof)
    return float(np.min(c1 * curve.frr + c2 * curve.far) / min(c1, c2))


def a_dcf(
    target: ArrayLike,
    nontarget: ArrayLike,
    spoof: ArrayLike,
    *,
    p_spoof: float = 0.05,
    p_nontarget: float = 0.05,
    p_target: float = 0.9,
    c_miss: float = 1.0,
    c_fa_asv: float = 10.0,
    c_fa_cm: float = 20.0,
) -> float:
    """Minimum architecture-agnostic cost of spoofing-aware speaker verification, normalised."""
    t, n, s = (np.sort(as_scores(x)) for x in (target, nontarget, spoof))
    thresholds = np.concatenate((np.unique(np.concatenate((t, n, s))), [np.inf]))
    miss = np.searchsorted(t, thresholds) / t.size
    fa_n = 1 - np.searchsorted(n, thresholds) / n.size
    fa_s = 1 - np.searchsorted(s, thresholds) / s.size
    cost = c_miss * p_target * miss + c_fa_asv * p_nontarget * fa_n + c_fa_cm * p_spoof * fa_s
    return float(cost.min() / min(c_miss * p_target, c_fa_asv * p_nontarget + c_fa_cm * p_spoof))
