"""Attribution: where in time and frequency a detector's evidence lies, to see and to hear, and whether the map can be
believed on this recording.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.attribute import profile
from core.attribute.methods import METHODS
from core.audit import study_page
from core.jobs import FAILED, Job
from pages.parts import attribution_jobs as work
from pages.parts import attribution_panels as panels
from pages.parts import cache, progress, widgets
from pages.parts.attribution_controls import Wish, controls, marked, showcase
from pages.parts.desk import Desk, examined, opinion_note, page, withheld
from pages.parts.player import Span, pending_lane, player
from pages.parts.state import session


def _waiting(found: Desk) -> None:
    running = found.job is not None and not found.job.ended
    player(found.recording, found.opened, lanes=_pending() if running else [])


def _pending() -> list[dict]:
    return [pending_lane("attribution", "Attribution over time"),
            pending_lane("attribution-map", "How much, over time and frequency", "image")]


def _withheld(found: Desk) -> None:
    """An abstained examination shows no score, and a map is a map of the score."""
    withheld(found, "there is no score whose evidence could be shown")


def _explain(found: Desk, done: Any) -> None:
    st.markdown("Where the detector takes its evidence from: first of all the one that gives the finding. The map "
                "describes the detector, not the recording, and is tested on this recording before it is to be believed.")
    opinion_note(found)
    wish = controls(found)
    device = session().device
    loading = work.scorer_job(wish.ask.detector, str(done.model), device)
    loading.wait(0.5)
    if loading.result is None:
        _not_yet(found, loading, "Loading the detector", loading.key)
        return
    scorer = loading.result
    job = work.map_job(found, scorer, wish.ask)
    job.wait(0.3)
    if job.result is None:
        _not_yet(found, job, "Attributing", job.key)
        return
    _result(found, wish, scorer, job.result)


def _not_yet(found: Desk, job: Job, what: str, key: tuple) -> None:
    """Progress, or why there is no map; the recording can be heard in any case."""
    if not job.ended:
        found.places.append(progress.show(job, what, key="attribution"))
    else:
        (st.error if job.state == FAILED else st.info)(job.reason)
        if st.button("Try again"):
            from core import jobs

            jobs.forget(key)
            st.rerun()
    player(found.recording, found.opened, lanes=[] if job.ended else _pending())


def _result(found: Desk, wish: Wish, scorer: Any, made: tuple) -> None:
    posed, given = made
    unit = given.unit if given.in_units else "no unit"
    spans = marked(found, cache.examples())
    key = (*found.key, scorer.sha256, *wish.ask.key)
    audit = work.audit_job(found, scorer, wish.ask, made, spans)
    audit.wait(0.05)
    st.markdown(f"##### {cache.figure('attribution words', key, lambda: profile.sentence(given))}")
    panels.verdict_line(audit)
    _explained(given)
    pooled = cache.figure("attribution cells", key, lambda: panels.cells(posed, given))
    lanes = cache.figure("attribution lanes", key, lambda: panels.lanes(pooled, found.recording.duration_s, unit))
    shown = [Span(a, b, "lead", "attribution") for a, b in spans] if found.opened.selection_s is None else []
    player(found.recording, found.opened, lanes=lanes, spans=shown, report_click=True)
    st.subheader("The map")
    box = panels.map_figure(found, key, given, pooled, signed=wish.signed, spans=spans, unit=unit)
    st.subheader("Hear it, and hear the rest without it")
    _audition(found, wish, scorer, made, box, key)
    panels.places(found, given, pooled, key, unit)
    st.subheader("Can this map be believed?")
    st.markdown(study_page.measured(scorer.sha256, given.target) or "Whether maps of this score find synthetic stretches "
                "hasn't been measured on a corpus; don't read them as a sign of where a recording was altered.")
    showcase(str(found.examination.model))
    if audit.result is not None:
        panels.audit_panel(found, audit.result, given, (*key, spans), given.unit)
    elif not audit.ended:
        found.places.append(progress.show(audit, "Testing the map", key="audit"))
        widgets.skeleton("The tests of this map will be here.", 420)


def _explained(given: Any) -> None:
    """What exactly was explained, in one caption."""
    parts = len(given.windows)
    method = METHODS[given.method]
    some = (f" {parts} of {given.n_windows} windows are explained; select elsewhere in the player for others."
            if given.target != "moment" and parts < given.n_windows else "")
    error = "" if given.error is None else f" The parts add up to that within {given.error:.1%}."
    st.caption(f"{method.title}, from {given.start_s:.2f} to {given.stop_s:.2f} s. These windows' part of the score is "
               f"{widgets.number(given.score)} {given.unit}, that of the baseline "
               f"{widgets.number(given.baseline_score)}; the map explains the difference of "
               f"{widgets.number(given.gap)}.{error}{some}")


def _audition(found: Desk, wish: Wish, scorer: Any, made: tuple, box: Any, key: tuple) -> None:
    part = panels.part_choice(box)
    job = work.audition_job(found, scorer, wish.ask, made, part)
    job.wait(1.5)
    if job.result is not None:
        panels.heard(found, job.result, (*key, part))
    elif job.ended:
        (st.error if job.state == FAILED else st.info)(job.reason)
    else:
        found.places.append(progress.show(job, "Resynthesising", key="audition"))


page("Attribution", examined(_waiting, _withheld, _explain))
