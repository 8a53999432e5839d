"""The complementarity page's work, found again by content: what members say, over time, and where their evidence lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core import jobs
from core.jobs import Job
from pages.parts import cache
from pages.parts.desk import Desk


@dataclass(frozen=True, eq=False)
class Heard:
    """Who was heard and what they said. ``ours`` is None, with ``absent`` saying why, where ACoRL isn't installed."""

    detector: Any
    ours: Any
    absent: str
    said: Any


def hear_job(found: Desk, device: str) -> Job:
    """The job that lets every member hear the recording in the examination's windows; its result is a ``Heard``."""
    done, model = found.examination, str(found.examination.model)

    def work(job: Job) -> Heard:
        from core.complement.listen import whole
        from core.complement.members import members
        from core.complement.shipped import shipped
        from core.errors import ModelUnavailable

        job.report(0.0, "loading the members")
        detector = cache.loaded(model, device)
        try:
            ours, absent = shipped(), ""
        except ModelUnavailable as problem:
            ours, absent = None, problem.message
        said = whole(done, detector, members(detector, ours), ours, cancelled=job.cancelled,
                     on_progress=lambda share: job.report(share, "members are listening"))
        return Heard(detector, ours, absent, said)

    return jobs.submit(("members heard", *found.key, _installed(), device), work)


def slide_job(found: Desk, heard: Heard, device: str, *, network: bool = False) -> Job:
    """The job that lets them hear windows of 2 s every 0.5 s; its result is a ``Voices``. network : with the panel's
    member that reads one."""
    recording = found.recording

    def work(job: Job) -> Any:
        from core.complement.listen import listen, sliding

        return listen(recording, heard.detector, [m for m in heard.said.members if network or not m.reads_network],
                      heard.ours, windows=sliding(len(recording.samples)),
                      on_progress=lambda share: job.report(share, "members are listening to short windows"),
                      cancelled=job.cancelled)

    return jobs.submit(("members over time", *found.key, _installed(), device, network), work, lane="background")


def evidence_job(found: Desk, heard: Heard, keys: tuple[str, ...], span_s: tuple[float, float], device: str) -> Job:
    """The job that maps what each of the chosen members rests on; its result is an ``Evidence``."""
    recording = found.recording

    def work(job: Job) -> Any:
        from core.complement.evidence import gather

        chosen = [m for m in heard.said.members if m.key in keys]
        return gather(recording, chosen, heard.detector, span_s, device, on_progress=job.report)

    key = ("members' evidence", *found.key, _installed(), keys, tuple(round(t, 3) for t in span_s), device)
    return jobs.submit(key, work, lane="background", weigh=lambda e: 3 * sum(m.values.nbytes for m in e.maps))


def _installed() -> str:
    """Changes whenever ACoRL's folder does."""
    from core.complement.shipped import shipped
    from core.errors import ModelUnavailable

    try:
        return shipped().content_sha256
    except ModelUnavailable:
        return ""
