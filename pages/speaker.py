"""Speaker: whose voice it is, which frames decide, how the verdict moves with the boundary; the voice examined alone."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.errors import EarwitnessError
from core.speaker import shipped
from core.speaker.verdict import verdict
from pages.parts import progress, speaker_panels, speaker_sound, widgets
from pages.parts.desk import Desk, blind_gate, desk, opinion_note, plain_player
from pages.parts.shelf import again
from pages.parts.speaker_enrol import enrol
from pages.parts.speaker_second import second
from pages.parts.speaker_state import asked, enrolment, take_references, verifying
from pages.parts.speaker_teach import error_curves, teach
from pages.parts.state import session


def main() -> None:
    try:
        networks = shipped(session().device)
    except EarwitnessError as problem:
        _absent(problem)
        return
    if asked().teaching:
        st.title("Speaker")
        _mode()
        teach(networks)
        error_curves(networks)
        return
    found = desk("Speaker")
    _mode()
    if found is None:
        return
    if not blind_gate(found):
        opinion_note(found)
        running = take_references(networks)  # before they are drawn: what is done by now is shown as done
        enrol(found, networks)
        _page(found, networks, bool(running))
        progress.follow(found.places, jobs=[*running, found.job])
    else:
        found.finish()


def _absent(problem: EarwitnessError) -> None:
    """Without the networks the recording can still be heard."""
    found = desk("Speaker")
    st.error(problem.message)
    if found is not None:
        if not blind_gate(found):
            plain_player(found)
        found.finish()


def _mode() -> None:
    now = asked()

    def take() -> None:
        now.teaching = st.session_state["speaker-teaching"]

    st.session_state["speaker-teaching"] = now.teaching
    st.toggle("Teaching: mix two known voices and see the boundary against the truth", key="speaker-teaching",
              on_change=take)


def _page(found: Desk, networks: Any, listening: bool) -> None:
    enrolled = enrolment(networks)
    if enrolled is None:
        st.info("Enrol the voice in question above; then this page shows which frames carry it." if not listening
                else "Listening to the reference …")
        plain_player(found)
        error_curves(networks)
        return
    job = verifying(found.recording, enrolled, networks)
    job.wait(0.6)
    if not job.ended:
        widgets.skeleton("The verdict will be here.", 120)
        found.places.append(progress.show(job, "Comparing voices", key="verify"))
        plain_player(found)
    elif job.result is None:
        again(job, "Compare again")
        plain_player(found)
    else:
        _result(found, networks, job.result)


def _result(found: Desk, networks: Any, v: Any) -> None:
    place = st.container()
    at = speaker_panels.threshold(v)
    given = verdict(v, networks, at)
    with place:
        speaker_panels.answer(v, given)
    speaker_panels.on_player(found, v, at)
    st.subheader("The verdict as a function of the threshold")
    speaker_panels.curve(found, v, networks, at)
    left, right = st.columns([3, 2], gap="large")
    with left:
        speaker_panels.likeness(v, given)
    with right:
        speaker_panels.several(found, v)
    speaker_panels.contested_frames(found, v)
    speaker_sound.sides(found, v, at)
    speaker_sound.only(found, v, at)
    other = second(found, v, networks, at)
    error_curves(networks)
    speaker_panels.export(found, v, networks, at, other)


main()
