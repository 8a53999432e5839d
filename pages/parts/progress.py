"""Progress of jobs on a page: a bar in its place, a cancel button, and a poll that is drawn last.

The poll is a fragment that looks every second and reruns the page when something has ended. It stands last on
the page
and only while a job runs: a polling fragment in the middle starves what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.jobs import Job


def show(job: Job, what: str, *, key: str) -> Any:
    """Draw the state of a running job here; returns the place that ``follow`` keeps up to date."""
    words, button = st.columns([6, 1], vertical_alignment="center")
    slot = words.empty()
    _draw(slot, job, what)
    if button.button("Cancel", key=f"cancel-{key}", width="stretch"):
        job.cancel()
        st.rerun()
    return (slot, job, what)


def follow(places: Sequence[Any], *, jobs: Sequence[Job | None] = ()) -> None:
    """Call last on a page: keeps the bars of ``show`` moving and reruns the page when any of the jobs has
    ended.
    """
    running = [place for place in places if not place[1].ended]
    watched = [place[1] for place in running] + [job for job in jobs if job is not None and not job.ended]
    if any(place[1].ended for place in places):
        st.rerun()
    if watched:
        _poll(running, watched)


@st.fragment(run_every=1.0)
def _poll(places: list, watched: list[Job]) -> None:
    if any(job.ended for job in watched):
        st.rerun()
    for slot, job, what in places:
        _draw(slot, job, what)


def _draw(slot: Any, job: Job, what: str) -> None:
    message = job.message or "working"
    slot.progress(min(1.0, max(0.0, job.fraction)), text=f"{what}: {message} ({job.fraction:.0%})")
