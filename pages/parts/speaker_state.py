"""What a session has enrolled and asked on the Speaker page, and the jobs that answer: references, verification, finding.

Small facts in one typed object; results in jobs, found again by content.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st

from core import jobs
from core.jobs import Job
from pages.parts import cache
from pages.parts.state import Opened, session

_KEY = "earwitness-speaker"
Span = tuple[int, int] | None


@dataclass(frozen=True)
class Wanted:
    """A reference that was asked for: a recording by digest, or a region of it in samples."""

    digest: str
    name: str
    span: Span = None


@dataclass
class Lesson:
    """What is mixed in teaching mode."""

    target: str = "real-woman"
    other: str = "real-man"
    share: float = 0.5
    how: str = "by turns"
    snr_db: int = 0


@dataclass(frozen=True)
class Second:
    """Another encoder that was asked: folder or hub id, whether it may be fetched; about which recording, which enrolment
    and which threshold on the gate.
    """

    name: str
    download: bool
    sha256: str
    enrolment: str
    threshold: float


@dataclass
class Asked:
    """Everything that the page remembers between reruns."""

    references: dict[Wanted, Any] = field(default_factory=dict)  # -> core.speaker.enrol.Reference
    wanted: list[Wanted] = field(default_factory=list)  # still being listened to
    refused: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # uploads that were taken in once
    threshold: float = 0.5
    teaching: bool = False
    only: set[tuple] = field(default_factory=set)  # findings asked for: (recording, enrolment, threshold)
    second: Second | None = None
    lesson: Lesson = field(default_factory=Lesson)
    heard: dict[str, Opened] = field(default_factory=dict)  # mixtures on the player


def asked() -> Asked:
    """This session's."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Asked()
    return st.session_state[_KEY]


# ---- references --------------------------------------------------------------------------------------------


def want(digest: str, name: str, source: bytes | Path | None, networks: Any, span: Span = None) -> None:
    """Ask for a reference; ``source`` is None for a recording that is already open."""
    now, one = asked(), Wanted(digest, name, span)
    if one in now.references or one in now.wanted:
        return
    reading = cache.reading(digest)
    known = None if reading is None or reading.result is None else reading.result[0]
    if known is None and source is None:
        now.refused[digest] = f"{name} is no longer in memory; open it again."
        return

    def work(job: Job) -> Any:
        from core.audio import read_recording
        from core.speaker.enrol import refer

        job.report(0.1, "decoding")
        recording = read_recording(source, name) if known is None else cache.under_name(known, name)
        job.report(0.5, "listening")
        return refer(recording, networks, span)

    jobs.submit(_reference_key(one, networks), work, lane="quick")
    now.wanted.append(one)


def _reference_key(one: Wanted, networks: Any) -> tuple:
    return ("speaker reference", one.digest, one.span, networks.sha256, str(networks.device))


def take_references(networks: Any) -> list[Job]:
    """Follow the references that are still being listened to; returns their jobs."""
    now, running = asked(), []
    for one in list(now.wanted):
        job = jobs.find(_reference_key(one, networks))
        if job is not None and not job.ended:
            running.append(job)
            continue
        now.wanted.remove(one)
        if job is None or job.result is None:
            now.refused[one.digest] = f"{one.name}: {job.reason if job else 'it was dropped; enrol it again.'}"
        else:
            now.references[one] = replace(job.result, name=one.name)
    return running


def enrolment(networks: Any) -> Any:
    """The enrolment in force, or None while nothing is enrolled."""
    from core.speaker.enrol import combine

    references = tuple(asked().references.values())
    if not references:
        return None
    key = (networks.sha256, tuple((r.sha256, r.span, r.name) for r in references))
    return cache.figure("enrolment", key, lambda: combine(references, networks))


# ---- work --------------------------------------------------------------------------------------------------


def verifying(recording: Any, enrolled: Any, networks: Any) -> Job:
    """The job that compares a recording with an enrolment; its result is a ``Verification``."""

    def work(job: Job) -> Any:
        from core.speaker.verify import verify

        return verify(recording, enrolled, networks, on_progress=job.report, cancelled=job.cancelled)

    key = ("verification", recording.sha256, enrolled.key, str(networks.device))
    return jobs.find(key) or jobs.submit(key, work, weigh=lambda v: 16 * len(v.gamma.values))


def examining_only(recording: Any, chosen: tuple, key: tuple) -> Job:
    """The job that examines the chosen stretches alone; its result is an ``Examination``."""
    device = session().device

    def work(job: Job) -> Any:
        from core.speaker.parts import examine_only

        return examine_only(recording, chosen, device=device, on_progress=job.report, cancelled=job.cancelled)

    full = ("this speaker only", *key, device)
    return jobs.find(full) or jobs.submit(full, work, weigh=lambda e: e.encoding.n_bytes + e.recording.samples.nbytes)


def asking_second(one: Second, recording: Any, v: Any, device: Any) -> Job:
    """The job that asks another encoder; its result is a ``SecondOpinion``."""
    enrolled = v.enrolment

    def work(job: Job) -> Any:
        from core.speaker.second import load_second, second_opinion
        from core.speaker.verdict import segments

        job.report(0.1, "fetching and loading" if one.download else "loading")
        encoder = load_second(one.name, allow_download=one.download, device=device)
        job.report(0.4, "listening")
        return second_opinion(encoder, enrolled, recording, *segments(v, one.threshold))

    full = ("second encoder", one, str(device))
    return jobs.find(full) or jobs.submit(full, work)


def mixing(lesson: Lesson, target: Path, other: Path) -> Job:
    """The job that mixes two bundled voices; its result is (Mixture, Recording of it, Recording of the enrolment)."""

    def work(job: Job) -> Any:
        from core.audio import read_recording
        from core.speaker.mixture import mix
        from core.spectrum import pcm16

        job.report(0.1, "mixing")
        voices = [read_recording(path).samples for path in (target, other)]
        mixed = mix(*voices, lesson.share, lesson.how, snr_db=float(lesson.snr_db))
        name = f"{lesson.target} and {lesson.other}, {lesson.share:.0%} {lesson.how}.wav"
        return (mixed, read_recording(pcm16(mixed.samples), name),
                read_recording(pcm16(mixed.enrolment), f"{lesson.target}, enrolment.wav"))

    key = ("mixture", lesson.target, lesson.other, lesson.share, lesson.how, lesson.snr_db)
    return jobs.submit(key, work, lane="quick", weigh=lambda r: r[1].samples.nbytes)


__all__ = [
    "Asked",
    "Lesson",
    "Second",
    "Wanted",
    "asked",
    "asking_second",
    "enrolment",
    "examining_only",
    "mixing",
    "take_references",
    "verifying",
    "want",
]
