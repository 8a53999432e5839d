"""The attribution page's work, found again by content: detector, map, audit, audition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core import jobs
from core.attribute.audition import Audition, Box
from core.attribute.question import Posed, Question
from core.attribute.run import Map
from core.jobs import Job
from pages.parts import cache
from pages.parts.desk import Desk


@dataclass(frozen=True)
class Ask:
    """Everything that a map depends on beside recording and detector."""

    detector: str
    question: Question
    method: str
    baseline: str
    seed: int = 0

    @property
    def key(self) -> tuple:
        span = self.question.span_s
        where = None if span is None else tuple(round(t, 4) for t in span)
        return (self.question.target, self.question.plane, where, self.method, self.baseline, self.seed)


def scorer_job(name: str, default: str, device: str) -> Job:
    """The job that loads a detector to be explained; its result is a ``core.attribute.scorer.Scorer``."""

    def work(job: Job) -> Any:
        from core.attribute.scorer import scorer_of
        from core.detectors import load
        from core.detectors.panel import NAME, PanelDetector

        job.report(0.1, "loading the detector")
        if name == default:
            return scorer_of(cache.loaded(name, device))
        return scorer_of(PanelDetector(cache.loaded(default, device)) if name == NAME else load(name, device))

    return jobs.submit(("explained detector", name, default, device), work, lane="quick")


def map_job(found: Desk, scorer: Any, ask: Ask) -> Job:
    """The job that computes a map; its result is ``(Posed, Map)``."""
    told, recording = found.examination.entropy, found.recording
    weights = told.own_window_seconds if ask.detector == str(found.examination.model) else told.window_seconds

    def work(job: Job) -> tuple[Posed, Map]:
        from core.attribute.question import pose
        from core.attribute.run import compute

        job.report(0.0, "listening")
        posed = pose(recording, scorer, ask.question, weights)
        return posed, compute(posed, ask.method, ask.baseline, seed=ask.seed,
                              on_progress=lambda share: job.report(share, "computing the map"))

    return jobs.submit(_key("attribution", found, scorer, ask), work, lane="quick", weigh=_weigh)


def audit_job(found: Desk, scorer: Any, ask: Ask, made: tuple[Posed, Map], spans: tuple) -> Job:
    """The job that tests a map; its result is a ``core.audit.verdict.Audit``."""

    def work(job: Job) -> Any:
        from core.audit.verdict import audit

        return audit(*made, spans=spans, on_progress=job.report)

    return jobs.submit((*_key("audit", found, scorer, ask), spans), work, lane="background")


def audition_job(found: Desk, scorer: Any, ask: Ask, made: tuple[Posed, Map], part: Box | tuple[float, int]) -> Job:
    """The job that takes a part out of the sound and scores the rest; its result is an ``Audition``. part : a box, or
    the share of the strongest cells and their sign."""
    posed, given = made
    recording = found.recording

    def work(job: Job) -> Audition:
        import numpy as np

        from core.attribute.audition import audition, box_mask, map_mask
        from core.attribute.profile import top_cells

        first, last = posed.windows[0].start, posed.windows[-1].stop
        samples = np.array(recording.samples[first:last], np.float32)
        job.report(0.1, "resynthesising and scoring")
        if isinstance(part, Box):
            mask = box_mask(part, first / 16_000, len(samples))
        else:
            mask = map_mask(given, top_cells(given, *part), first / 16_000, len(samples))
        return audition(posed, mask, samples, whole=_whole(found, scorer, ask))

    return jobs.submit((*_key("audition", found, scorer, ask), part), work, lane="quick",
                       weigh=lambda a: a.part.nbytes + a.rest.nbytes)


def _whole(found: Desk, scorer: Any, ask: Ask) -> float | None:
    """The examination's score of the whole recording before the bounds, where the question is about it; else None."""
    from core.detectors.panel import NAME

    told = found.examination
    raw = {NAME: told.finding.score, str(told.model): told.entropy.own_score}.get(ask.detector)
    if ask.question.target != "clip" or raw is None:
        return None
    return scorer.calibration.slope * raw + scorer.calibration.intercept


def _key(what: str, found: Desk, scorer: Any, ask: Ask) -> tuple:
    return (what, found.opened.digest, scorer.sha256, str(scorer.device), *ask.key)


def _weigh(made: tuple[Posed, Map]) -> int:
    return 3 * made[1].values.nbytes + sum(4 * p.x.numel() for p in made[0].problems)
