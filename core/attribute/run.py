"""Computes a map: every window of a posed question by one method, under the detector's lock.

Deterministic under a seed and safe from several threads: the lock is held for a whole window, and no method touches the
process-wide random numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.attribute.baselines import make_baseline
from core.attribute.methods import METHODS, Method
from core.attribute.problem import SAMPLE_RATE, Problem
from core.attribute.question import Posed
from core.errors import InvalidOption


@dataclass(frozen=True, eq=False)
class Map:
    """An attribution over time and frequency.

    values : np.ndarray [shape=(R, C)], row 0 lowest in frequency, column c from ``start_s + c hop_s``; positive where
    the input moves the score towards bona fide; edges_hz : [R + 1]; score, baseline_score : of the explained windows
    (weighted as in the clip's score); windows : each one's own map before they are joined.
    """

    method: str
    baseline: str
    plane: str
    target: str
    span_s: tuple[float, float]
    parameters: Mapping[str, Any]
    seed: int
    values: np.ndarray
    edges_hz: np.ndarray
    start_s: float
    hop_s: float
    score: float
    baseline_score: float
    unit: str
    n_windows: int
    windows: tuple[np.ndarray, ...]
    detector: str
    detector_sha256: str
    seconds: float

    @property
    def gap(self) -> float:
        """How far the score is from the baseline's: what there is to explain."""
        return self.score - self.baseline_score

    @property
    def error(self) -> float | None:
        """Completeness error as a share of the gap; None for methods that don't promise it."""
        if not METHODS[self.method].complete:
            return None
        return abs(float(self.values.sum()) - self.gap) / max(abs(self.gap), 1e-9)

    @property
    def times_s(self) -> np.ndarray:
        """Centres of the columns in seconds, [C]."""
        return self.start_s + (np.arange(self.values.shape[1]) + 0.5) * self.hop_s

    @property
    def stop_s(self) -> float:
        return self.start_s + self.values.shape[1] * self.hop_s

    @property
    def bands_hz(self) -> np.ndarray:
        """Middles of the rows in Hz, [R]."""
        return (self.edges_hz[:-1] + self.edges_hz[1:]) / 2

    @property
    def in_units(self) -> bool:
        return METHODS[self.method].in_units


def compute(posed: Posed, method: str, baseline: str = "silence", *, seed: int = 0,
            parameters: Mapping[str, Any] | None = None,
            on_progress: Callable[[float], Any] | None = None) -> Map:
    """The map of a posed question. ``on_progress`` may raise Cancelled.

    Raises InvalidOption where the method can't explain this detector or plane.
    """
    chosen = _method(method, posed)
    options = dict(chosen.parameters) | dict(posed.scorer.effort.get(method, {})) | dict(parameters or {})
    if "batch" in options:  # a detector that hears long windows gets fewer of them at once
        seconds = max(p.wav.shape[-1] for p in posed.problems) / SAMPLE_RATE
        options["batch"] = max(1, min(options["batch"], int(posed.scorer.most_s / seconds)))
    began, maps, score, base = time.perf_counter(), [], 0.0, 0.0
    for i, problem in enumerate(posed.problems):
        def tell(share: float, i: int = i) -> None:
            if on_progress is not None:
                on_progress((i + share) / len(posed.problems))

        values, ends = explain(problem, chosen, baseline, seed, options, tell)
        maps.append(values)
        score, base = score + ends[0], base + ends[1]
    values, start_s = _join(posed, maps)
    first = posed.problems[0]
    return Map(method, baseline, posed.question.plane, posed.question.target, posed.question.span_s, options, seed,
               values, first.edges_hz, start_s, first.hop_s, score, base, posed.unit, posed.n_windows, tuple(maps),
               posed.scorer.name, posed.scorer.sha256, time.perf_counter() - began)


def explain(problem: Problem, method: Method, baseline: str, seed: int, options: Mapping[str, Any],
            tell: Callable[[float], Any]) -> tuple[np.ndarray, tuple[float, float]]:
    """One window's map (R, C), and the scores of the window and of its baseline."""
    import torch

    with problem.scorer.lock, torch.inference_mode(False), torch.enable_grad():
        start = make_baseline(problem, baseline, seed)
        tell(0.0)
        try:
            attribution = method.run(problem, start, tell=tell, seed=seed, **options)
        except (RuntimeError, NotImplementedError) as problem_found:
            if not isinstance(problem_found, NotImplementedError) and "grad" not in str(problem_found):
                raise
            raise InvalidOption(f"{method.title} needs gradients, which this detector doesn't give; choose Occlusion on "
                                "the spectrum.") from problem_found
        with torch.no_grad():
            ends = problem.score(torch.cat([problem.x, start]))
    return problem.to_map(attribution), (float(ends[0]), float(ends[1]))


def _method(name: str, posed: Posed) -> Method:
    if name not in METHODS:
        raise InvalidOption(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    reason = METHODS[name].fits(posed.problems[0])
    if reason:
        raise InvalidOption(reason)
    return METHODS[name]


def _join(posed: Posed, maps: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Lay the windows' maps on one time axis; where windows overlap, both count."""
    origin = posed.windows[0].start
    hop = posed.problems[0].hop_s * SAMPLE_RATE
    places = [round((w.start - origin) / hop) for w in posed.windows]
    width = max(place + m.shape[1] for place, m in zip(places, maps, strict=True))
    values = np.zeros((maps[0].shape[0], width))
    for place, one in zip(places, maps, strict=True):
        values[:, place : place + one.shape[1]] += one
    return values, origin / SAMPLE_RATE
