"""What a session has asked of the reference library, and the jobs and views that answer: for Neighbours and Map.

Small facts per recording (filters, what was taken out, the case's own references) in one typed object; results in jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core import jobs
from core.errors import EarwitnessError
from core.jobs import Job
from pages.parts import cache
from pages.parts.desk import Desk, page, plain_player
from pages.parts.state import Opened, session

_KEY = "earwitness-library"
FILTERS = {"label": "Kind", "family": "Family", "language": "Language", "source": "Source"}


@dataclass
class Asked:
    """What was asked of the library about one recording."""

    k: int = 10
    layer: int = 0
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    chosen: str | None = None  # digest of the reference that is open beside the recording
    playing: str = "questioned"  # or "reference"
    speaker: str = ""  # whose voice is claimed


@dataclass
class Shelf:
    """Per recording what was asked; per session the case's own references and the references that were opened."""

    asked: dict[str, Asked] = field(default_factory=dict)
    references: list[Any] = field(default_factory=list)
    wanted: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)  # upload -> (digest, name, label, speaker)
    refused: dict[str, str] = field(default_factory=dict)  # upload -> sentence
    taken: set[str] = field(default_factory=set)  # uploads that were taken in once
    heard: dict[str, Opened] = field(default_factory=dict)
    folder: str = ""  # of a library other than the shipped one


def shelf() -> Shelf:
    """This session's shelf."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Shelf()
    return st.session_state[_KEY]


def asked(digest: str) -> Asked:
    """What was asked about a recording."""
    return shelf().asked.setdefault(digest, Asked())


def library_page(title: str, draw: Callable[[Desk, Any], None]) -> None:
    """A page on the recording and the library in use: ``draw(desk, library)``, or why there is no library."""

    def either(found: Desk) -> None:
        try:
            known = library()
        except EarwitnessError as problem:
            st.error(problem.message)
            plain_player(found)
            choose_library()
        else:
            draw(found, known)

    page(title, either)


def library() -> Any:
    """The library in use. Raises LibraryError with a sentence."""
    from core.library import open_library

    return open_library(shelf().folder or None)


def choose_library() -> None:
    """Another library's folder on this machine, at the foot of a page; nothing typed means the shipped one."""

    def take() -> None:
        shelf().folder = st.session_state["library-folder"].strip()

    with st.expander("Use another library" + (f" (in use: {shelf().folder})" if shelf().folder else "")):
        st.session_state["library-folder"] = shelf().folder
        st.text_input("Folder of a library on this machine", key="library-folder", on_change=take, max_chars=400)
        st.caption(
            "Make one with `python -m core library build FOLDER --library DIR` from a folder with a manifest or from a "
            "published corpus. Leave it empty for the shipped library. The retrieval scores need one built with the "
            "shipped map, which is what that command does."
        )


def querying(recording: Any, known: Any) -> Job:
    """The job that encodes a recording without adapters and measures it; its result is a ``Query``."""
    device = session().device

    def work(job: Job) -> Any:
        from core.library.compare import encoded, measure

        detector = cache.loaded(device=device)
        encoding = encoded(
            recording,
            detector,
            cancelled=job.cancelled,
            on_progress=lambda share: job.report(0.95 * share, "encoding for the library"),
        )
        return measure(encoding, known, detector)

    key = ("library query", recording.sha256, known.geometry.sha256, device)
    return jobs.find(key) or jobs.submit(key, work, weigh=lambda query: query.short.nbytes + query.vectors.nbytes)


def again(job: Job, words: str) -> None:
    """Why a job gave nothing, and a button that starts it anew: a failed job isn't repeated by itself."""
    st.error(f"{job.reason} The recording is still open.")
    if st.button(words, type="primary"):
        jobs.forget(job.key)
        st.rerun()


def referring(digest: str, name: str, body: bytes, label: str, speaker: str, known: Any) -> Job:
    """The job that measures one of the case's own references; its result is a ``Reference``."""
    device = session().device

    def work(job: Job) -> Any:
        from core.audio import read_recording
        from core.library.compare import reference

        job.report(0.1, "decoding")
        recording = read_recording(body, name)
        job.report(0.3, "encoding")
        return reference(recording, label, known, cache.loaded(device=device), speaker=speaker)

    return jobs.submit(("reference", digest, label, speaker, known.geometry.sha256, device), work)


def view(digest: str, known: Any, *, plain: bool = False) -> Any:
    """The view that this session has of the library for one recording; ``plain``: as shipped, with no change."""
    from core.library.compare import View

    if plain:
        return View(known)
    now = asked(digest)
    filters = {name: set(values) for name, values in now.filters.items() if values}

    def fits(clip: Any) -> bool:
        return all(getattr(clip, name) in values for name, values in filters.items())

    words = "; ".join(f"{name}: {', '.join(sorted(values))}" for name, values in sorted(filters.items()))
    return _view(known, tuple(shelf().references), frozenset(now.without), fits if filters else None, words)


def _view(known: Any, references: tuple, without: frozenset, where: Any, words: str) -> Any:
    """A view, kept as long as nothing in it changes (its index over the case's references is not rebuilt)."""
    from core.library.compare import View

    key = (known.snapshot.id, tuple(r.clip.sha256 + r.clip.label for r in references), tuple(sorted(without)), words)
    return cache.figure("library view", key, lambda: View(known, references, without, where, words))


def take_references(known: Any) -> list[Job]:
    """Follow the case's references that are still being measured; returns their jobs."""
    now, running = shelf(), []
    for upload, (digest, name, label, speaker) in list(now.wanted.items()):
        job = jobs.find(("reference", digest, label, speaker, known.geometry.sha256, session().device))
        if job is None or not job.ended:
            running += [job] if job is not None else []
            continue
        now.wanted.pop(upload)
        if job.result is None:
            now.refused[upload] = f"{name}: {job.reason}"
        elif all(r.clip.sha256 != job.result.clip.sha256 for r in now.references):
            now.references.append(job.result)
    return running


def detectors(known: Any) -> tuple[Any, ...]:
    """RAD and the nearest-neighbour score for the library; empty where they aren't installed or don't fit it."""
    from core.detectors import rad

    encoder, found = cache.loaded(device=session().device), []
    for name in rad.names():
        try:
            found.append(rad.retrieval_detector(name, encoder, known))
        except EarwitnessError:
            continue
    return tuple(found)


def neighbour_recording(clip: Any) -> Any:
    """The job that decodes a reference's audio, or None where it isn't here; its result is (Recording, Quality)."""
    from core.library import audio_path

    path = audio_path(clip)
    return None if path is None else cache.read(clip.sha256, clip.name, path)


__all__ = [
    "FILTERS",
    "Asked",
    "Shelf",
    "again",
    "asked",
    "choose_library",
    "detectors",
    "library",
    "library_page",
    "neighbour_recording",
    "querying",
    "referring",
    "shelf",
    "take_references",
    "view",
]
