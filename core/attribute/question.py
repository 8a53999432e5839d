"""From a recording and what is asked about it to one problem per window.

A question is about the clip (as the finding scores it), about a region scored alone, or about the frame scores of a
moment. The clip's score is a weighted mean over windows, so its attribution is the windows' attributions side by side;
only the windows that are asked for are computed, and the others are held fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.attribute.problem import Problem, Selection, make_problem
from core.attribute.scorer import Scorer
from core.dropouts import bridged
from core.errors import InvalidOption
from core.frames import SAMPLE_RATE, Window, format_time

if TYPE_CHECKING:
    from core.audio import Recording

TARGETS = {
    "clip": "the whole recording's score",
    "region": "the score of the selected region alone",
    "moment": "the frame scores of the selected region or moment",
}
SHORTEST_REGION_S = 0.5
MOMENT_S = 0.2  # a click stands for this much around it
MOST_WINDOWS = 3  # explained at once
FIRST_S = 8.0  # explained where nothing is selected
SILENT_DBFS = -70.0


@dataclass(frozen=True)
class Question:
    """What is asked. target : a key of ``TARGETS``; span_s : the region (for the clip: which windows to explain), None
    for the beginning; plane : see ``core.attribute.problem``."""

    target: str = "clip"
    span_s: tuple[float, float] | None = None
    plane: str = "log-mel"


@dataclass(frozen=True, eq=False)
class Posed:
    """A question put to a detector: problems and their windows (in samples of the recording), and the words for it.

    rest : what the windows that aren't explained add to the score; weights : share of each explained window.
    """

    question: Question
    scorer: Scorer
    problems: tuple[Problem, ...]
    windows: tuple[Window, ...]
    weights: tuple[float, ...]
    n_windows: int
    unit: str

    @property
    def span_s(self) -> tuple[float, float]:
        return self.windows[0].start / SAMPLE_RATE, self.windows[-1].stop / SAMPLE_RATE

    def repose(self, scorer: Scorer) -> Posed:
        """The same question to another scorer (its destroyed copy, for one)."""
        return _build(scorer, self.question, [p.wav for p in self.problems], self.windows, self.weights,
                      self.n_windows)

    def with_sound(self, change: Callable[[int, np.ndarray], np.ndarray]) -> Posed:
        """The same question about changed sound; ``change(index, samples [n])`` gives each window's samples."""
        import torch

        wavs = [torch.from_numpy(_heard(self.scorer, change(i, p.wav[0].cpu().numpy())))[None].to(p.wav)
                for i, p in enumerate(self.problems)]
        return _build(self.scorer, self.question, wavs, self.windows, self.weights, self.n_windows)


def pose(recording: Recording, scorer: Scorer, question: Question,
         window_weights: Sequence[float] | None = None) -> Posed:
    """Put a question to a detector. window_weights : seconds that each window of the clip counts for in its score
    (``EntropyAnalysis.window_seconds``); by duration for None.

    Raises InvalidOption, with a sentence for the user, for a region that can't be explained.
    """
    import torch

    samples = recording.samples
    if question.target not in TARGETS:
        raise InvalidOption(f"There is no target {question.target!r}; choose one of {', '.join(TARGETS)}.")
    span = _span(question, len(samples))
    if question.target == "region":
        start, stop = (round(t * SAMPLE_RATE) for t in span)
        plan = [Window(w.index, w.start + start, w.stop + start) for w in scorer.plan(stop - start)]
        chosen, weights = plan[:MOST_WINDOWS], [float(w.n_samples) for w in plan]
    else:
        plan = list(scorer.plan(len(samples)))
        chosen = _overlapping(plan, span)[:MOST_WINDOWS if question.target == "clip" else 1]
        weights = [float(w.n_samples) for w in plan]
        if window_weights is not None and len(window_weights) == len(plan) and sum(window_weights) > 0:
            weights = [float(v) for v in window_weights]
    _check_sound(samples, chosen)
    share = [weights[plan.index(w)] / sum(weights) for w in chosen]
    wavs = [torch.from_numpy(_heard(scorer, samples[w.start : w.stop]))[None].to(scorer.device) for w in chosen]
    return _build(scorer, Question(question.target, span, question.plane), wavs, tuple(chosen), tuple(share), len(plan))


def _heard(scorer: Scorer, samples: np.ndarray) -> np.ndarray:
    """A window's samples [n] as the detector hears them, a copy."""
    own = np.array(samples, np.float32)
    return bridged(own) if scorer.bridges else own


def _build(scorer: Scorer, question: Question, wavs: list, windows: Sequence[Window], weights: Sequence[float],
           n_windows: int) -> Posed:
    problems = []
    for wav, window, weight in zip(wavs, windows, weights, strict=True):
        frames = None
        if question.target == "moment":
            origin, weight = window.start / SAMPLE_RATE, 1.0
            frames = (question.span_s[0] - origin, question.span_s[1] - origin)
        problems.append(make_problem(scorer, wav, question.plane, Selection(frames, weight)))
    unit = "log10, uncalibrated" if question.target == "moment" else scorer.unit
    return Posed(question, scorer, tuple(problems), tuple(windows), tuple(weights), n_windows, unit)


def _span(question: Question, n_samples: int) -> tuple[float, float]:
    """The region in seconds, checked. Raises InvalidOption."""
    duration = n_samples / SAMPLE_RATE
    if question.span_s is None:
        if question.target != "clip":
            raise InvalidOption("Select a region in the player first; only the whole recording needs none.")
        return 0.0, min(duration, FIRST_S)
    start, stop = question.span_s
    if not (np.isfinite([start, stop]).all() and start < duration and stop > 0.0):
        raise InvalidOption(f"The region lies outside the recording, which ends at {format_time(duration)}; "
                            "select another.")
    start, stop = max(0.0, start), min(duration, stop)
    if question.target == "moment" and stop - start < 0.02:
        middle = (start + stop) / 2
        start, stop = max(0.0, middle - MOMENT_S / 2), min(duration, middle + MOMENT_S / 2)
    if stop - start <= 0.0:
        raise InvalidOption("The region has no length; drag over a stretch of the recording.")
    if question.target == "region" and stop - start < SHORTEST_REGION_S:
        raise InvalidOption(f"The region lasts {stop - start:.2f} s; at least {SHORTEST_REGION_S} s are needed to score "
                            "it alone. Explain the clip or the moment instead.")
    return start, stop


def _overlapping(plan: Sequence[Window], span: tuple[float, float]) -> list[Window]:
    first, last = (t * SAMPLE_RATE for t in span)
    found = [w for w in plan if w.start < last and w.stop > first]
    return found or [min(plan, key=lambda w: abs((w.start + w.stop) / 2 - first))]


def _check_sound(samples: np.ndarray, windows: Sequence[Window]) -> None:
    if not windows:
        raise InvalidOption("The recording is too short to be explained; use a longer one.")
    power = [float(np.mean(np.square(samples[w.start : w.stop], dtype=np.float64))) for w in windows]
    if max(power) < 10 ** (SILENT_DBFS / 10):
        raise InvalidOption("There is nothing but silence in this region, so there is nothing to explain; select "
                            "another.")
