"""The bench's lines about attribution: each method against the bare passes that it can't do without."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from core.commands.bench import Line, interleaved

if TYPE_CHECKING:
    from core.attribute.problem import Problem
    from core.audio import Recording
    from models.registry import Detector

SECONDS = 4.0


def attribution_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """One 4 s window: Integrated Gradients and occlusion against bare passes in the same batches; the first map."""
    from core.attribute.methods import METHODS
    from core.attribute.question import Question, pose
    from core.attribute.run import compute
    from core.attribute.scorer import scorer_of
    from core.audio import read_recording
    from core.commands.speechlike import speechlike, wav_bytes

    recording = read_recording(wav_bytes(speechlike(SECONDS)), "window.wav")
    scorer, repeats = scorer_of(detector), 3 if options.quick else 5

    def whole(method: str) -> Callable[[], Any]:
        return lambda: compute(pose(recording, scorer, Question("clip")), method, "mean-bonafide")

    problem = pose(recording, scorer, Question("clip")).problems[0]
    steps = METHODS["integrated-gradients"].parameters
    times = interleaved({"bare": lambda: gradients(problem, steps["steps"], steps["batch"]),
                         "whole": whole("integrated-gradients")}, repeats)
    yield Line("4 s, Integrated Gradients of 32 steps", times["whole"], "s", 6.0)
    yield Line("4 s, Integrated Gradients over bare passes there and back", times["ratio"], "x", 1.3)
    patch = METHODS["occlusion"].parameters
    count = -(-problem.shape[0] // patch["patch_rows"]) * -(-problem.shape[1] // patch["patch_columns"])
    times = interleaved({"bare": lambda: forwards(problem, count, patch["batch"]), "whole": whole("occlusion")}, repeats)
    yield Line("4 s, occlusion over bare forward passes", times["ratio"], "x", 1.3)
    if detector.panel is not None:
        yield from panel_lines(recording, detector)


def panel_lines(recording: Recording, detector: Detector) -> Iterator[Line]:
    """The first map that the page shows of what gives the finding, against bare passes in the same batches."""
    from core.attribute.panel_scorer import PanelScorer
    from core.attribute.question import Question, pose
    from core.attribute.run import compute

    scorer = PanelScorer.of(detector)
    question = Question("region", (0.0, SECONDS), "levels")
    problem = pose(recording, scorer, question).problems[0]
    samples = scorer.effort["gradient-shap"]["samples"]

    def whole() -> None:
        compute(pose(recording, scorer, question), "gradient-shap", "mean-bonafide")

    times = interleaved({"bare": lambda: gradients(problem, samples, int(scorer.most_s / SECONDS)), "whole": whole}, 3)
    yield Line("4 s, the panel's map by GradientShap", times["whole"], "s", 6.0)
    yield Line("4 s, the panel's map over bare passes there and back", times["ratio"], "x", 1.3)


def gradients(problem: Problem, count: int, batch: int) -> None:
    """``count`` bare passes there and back in batches."""
    import torch

    with problem.scorer.lock, torch.enable_grad():
        for first in range(0, count, batch):
            x = problem.x.expand(min(batch, count - first), *problem.shape).clone().requires_grad_(True)
            torch.autograd.grad(problem.score(x).sum(), x)


def forwards(problem: Problem, count: int, batch: int) -> None:
    """``count`` bare forward passes in batches."""
    import torch

    with problem.scorer.lock, torch.no_grad():
        for first in range(0, count, batch):
            problem.score(problem.x.expand(min(batch, count - first), *problem.shape).clone())
