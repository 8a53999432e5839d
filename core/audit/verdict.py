"""The audit of one map: all measurements, limits with their reasons, and "not reliable here" where one is missed.

Limits were set once, from what a map that says nothing gives (see ``docs/attribution.md`` for how they separate good maps
from random ones and from those of destroyed networks on a corpus), and are the same for every detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.attribute.methods import METHODS
from core.attribute.question import Posed
from core.attribute.run import Map, compute
from core.audit import curves, randomise, regions, stability
from core.audit.agreement import Likeness, likeness

# The parts of a map must add up to what they explain. 1 % is what Integrated Gradients reaches on a smooth network; five
# times that can't be seen on a map any more.
MOST_ERROR = 0.05
# The score must stand off the baseline's by several times what inaudible noise moves it, else there is nothing to
# explain.
LEAST_GAP_TO_NOISE = 3.0
# Removal in the map's order must beat random orders by this share of the gap, and by twice the random orders' own
# standard deviation where that is more (small gaps make them scatter).
LEAST_OVER_RANDOM = 0.1
# ... and must beat removing the loudest, or the quietest, first, if by little: a map that only repeats the spectrogram
# explains nothing.
LEAST_OVER_ENERGY = 0.05
# Destroyed weights: half of the ranks in common means that the map shows the input rather than the model.
MOST_LIKE_DESTROYED = 0.5
# A method of another principle must at least lean the same way: Integrated Gradients and GradientShap agree by
# construction, so they are no witnesses for each other. Compared in patches of eight bands by 100 ms; unrelated maps of n
# patches have rank correlations of 0 +- 1 / sqrt(n - 1), and twice that is the least where it is more than this.
LEAST_AGREEMENT = 0.2
# Inaudible noise must leave most of the order as it is.
LEAST_STABILITY = 0.6

COMPARED_WITH = ("integrated-gradients", "occlusion", "gradient-shap")
COARSER: dict[str, dict[str, Any]] = {"integrated-gradients": {"steps": 16}, "gradient-shap": {"samples": 16}}
PRINCIPLES = {"integrated-gradients": "gradients", "smooth-gradients": "gradients", "gradient-shap": "gradients",
              "occlusion": "removal", "grad-cam": "feature maps"}


@dataclass(frozen=True)
class Check:
    """One limit: what was measured, against what, whether it holds (None: couldn't be measured), and why it matters."""

    code: str
    label: str
    value: float | None
    limit: float
    least: bool
    unit: str
    failing: str  # completes "Not reliable here: ..."
    note: str = ""

    @property
    def passed(self) -> bool | None:
        if self.value is None or not np.isfinite(self.value):
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything measured about one map. ``checks`` in order of weight; ``reliable`` where none is missed."""

    checks: tuple[Check, ...]
    curves: curves.Curves
    likeness: Mapping[str, Likeness] = field(default_factory=dict)
    destroyed: Likeness | None = None
    stability: stability.Stability | None = None
    shares: tuple[regions.Share, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reliable(self) -> bool:
        return not any(check.passed is False for check in self.checks)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the first reason."""
        failed = [check for check in self.checks if check.passed is False]
        if not failed:
            return "This map passes every test on this recording: it shows what the detector goes by, right or wrong."
        return "Not reliable here: " + "; ".join(check.failing for check in failed) + "."


def audit(posed: Posed, given: Map, *, others: Sequence[str] = COMPARED_WITH,
          spans: Sequence[tuple[float, float]] = (), on_progress: Callable[[float, str], Any] | None = None) -> Audit:
    """Put a map of a posed question to all tests. ``on_progress`` may raise Cancelled."""
    def stage(first: float, last: float, words: str) -> Callable[[float], None]:
        return lambda share: on_progress(first + (last - first) * share, words) if on_progress else None

    method, baseline, options, seed = given.method, given.baseline, given.parameters, given.seed
    found = curves.measure(posed, given.windows, baseline, seed=seed,
                           on_progress=stage(0.0, 0.35, "removing and putting back cells"))
    destroyed = randomise.measure(posed, given.values, method, baseline, options, seed=seed,
                                  on_progress=stage(0.35, 0.5, "mapping the network with destroyed weights"))
    steady = stability.measure(posed, given.values, given.score, method, baseline, options, seed=seed + 1,
                               on_progress=stage(0.5, 0.65, "mapping slightly noisy sound"))
    alike, notes = {}, []
    wanted = [name for name in others if name != method]
    for i, name in enumerate(wanted):
        tell = stage(0.65 + 0.35 * i / len(wanted), 0.65 + 0.35 * (i + 1) / len(wanted),
                     f"mapping with {METHODS[name].title}")
        reason = METHODS[name].fits(posed.problems[0])
        if reason:
            notes.append(f"Not compared with {METHODS[name].title}: {reason}")
            continue
        other = compute(posed, name, baseline, seed=seed, parameters=coarser(posed, name), on_progress=tell).values
        alike[name] = likeness(given.values, other, coarse=True)
    places = regions.shares(given.values, given.times_s, spans) if _within(spans, given) else ()
    if destroyed is None:
        notes.append("No copy of this network could be made, so its weights could not be destroyed.")
    return Audit(checks(given, found, destroyed, steady, alike), found, alike, destroyed, steady, places, tuple(notes))


def coarser(posed: Posed, method: str) -> Mapping[str, Any]:
    """Parameters for a map that only serves to compare: the detector's own where it is a slow one."""
    return posed.scorer.effort.get(method) or COARSER.get(method, {})


def _within(spans: Sequence[tuple[float, float]], given: Map) -> bool:
    return any(start < given.stop_s and stop > given.start_s for start, stop in spans)


def checks(given: Map, found: curves.Curves, destroyed: Likeness | None, steady: stability.Stability | None,
           alike: Mapping[str, Likeness]) -> tuple[Check, ...]:
    """Limits on the measurements."""
    over_random = found.map.faithfulness - found.random_mean
    over_energy = found.map.faithfulness - found.energy.faithfulness
    noise = None if steady is None else abs(given.gap) / max(steady.moved, 1e-9)
    witnesses = [a for name, a in alike.items() if PRINCIPLES[name] != PRINCIPLES[given.method]]
    agreed = float(np.median([a.rank for a in witnesses])) if witnesses else None
    chance = max((2.0 / np.sqrt(max(1, a.n - 1)) for a in witnesses), default=0.0)
    return (
        Check("gap", "score's distance from the baseline's, against its movement under inaudible noise",
              None if noise is None else min(noise, 999.0), LEAST_GAP_TO_NOISE, True, "times",
              "the score hardly differs from the baseline's, so there is nothing to explain"),
        Check("completeness", "completeness error", given.error, MOST_ERROR, False, "share",
              "the parts of the map don't add up to the difference in score",
              "" if given.error is not None else "this method doesn't promise that its parts add up"),
        Check("faithful", "removal in the map's order, beyond random orders", over_random,
              round(max(LEAST_OVER_RANDOM, 2.0 * found.random_deviation), 3), True,
              "of the gap", "removing what the map names moves the score no more than removing anything"),
        Check("loudness", "removal in the map's order, beyond loudest or quietest first", over_energy,
              LEAST_OVER_ENERGY, True, "of the gap",
              "removing the loudest (or quietest) parts moves the score as much as removing what the map names"),
        Check("randomised", "likeness to the map of destroyed weights", None if destroyed is None else destroyed.rank,
              MOST_LIKE_DESTROYED, False, "rank corr.", "the map stays when the network's weights are destroyed"),
        Check("agreement", "agreement with a method of another principle", agreed,
              round(max(LEAST_AGREEMENT, float(chance)), 3), True, "rank corr.",
              "a method of another principle points elsewhere",
              "" if witnesses else "no method of another principle fits this plane"),
        Check("stability", "likeness under inaudible noise", None if steady is None else steady.likeness.rank,
              LEAST_STABILITY, True, "rank corr.", "inaudible noise gives another map"),
    )
