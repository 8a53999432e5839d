"""Complementarity: what each member says of this recording, whether members differ in evidence and in errors, and what
fusing them gives.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.jobs import FAILED, Job
from pages.parts import complement_corpus as corpus
from pages.parts import complement_jobs as work
from pages.parts import complement_panels as panels
from pages.parts import progress, widgets
from pages.parts.desk import Desk, blind_gate, desk, examination_place, opinion_note, plain_player
from pages.parts.player import player
from pages.parts.state import session


def main() -> None:
    found = desk("Complementarity")
    if found is None:
        return
    if not blind_gate(found):
        examination_place(found)
        if found.examination is None:
            plain_player(found)
        elif not found.examination.finding.parts_shown:
            _withheld(found)
        else:
            _compare(found)
    found.finish()


def _withheld(found: Desk) -> None:
    codes = ", ".join(reason.code for reason in found.examination.finding.reasons)
    st.info(f"The examination abstained ({codes}), so members' scores of this recording are not shown either. The "
            "Finding page says what was missing.")
    plain_player(found)
    heard = work.hear_job(found, session().device)
    heard.wait(2.0)
    if heard.result is not None:
        _of_the_corpus(heard.result)
    elif not heard.ended:
        found.places.append(progress.show(heard, "Members", key="members"))


def _compare(found: Desk) -> None:
    st.markdown("Models that look at different things, on one axis. They are worth having together only if they differ "
                "in what they use and in when they are wrong; both are measured below.")
    opinion_note(found)
    device = session().device
    job = work.hear_job(found, device)
    job.wait(2.0)
    if job.result is None:
        _not_yet(found, job, "Members", "members")
        plain_player(found)
        return
    heard = job.result
    if heard.absent:
        st.info(heard.absent)
    st.markdown(f"##### {panels.disagreement_words(found, heard)}")
    _over_time(found, heard, device)
    st.subheader("The whole recording")
    panels.members_now(found, heard)
    if heard.ours is not None and not found.examination.finding.abstained:
        st.subheader("From members to the fusion")
        panels.fusion(found, heard)
    _evidence(found, heard, device)
    _of_the_corpus(heard)


def _over_time(found: Desk, heard: work.Heard, device: str) -> None:
    keys = {m.title: m.key for m in heard.said.members}
    default = [t for t, k in keys.items() if not k.startswith("panel")] or list(keys)[:4]
    chosen = st.multiselect("Members over time", list(keys), default=default, key="complement-lanes")
    slow = {m.key for m in heard.said.members if m.reads_network}
    network = not slow.isdisjoint(keys[t] for t in chosen)
    if slow and not network:
        st.caption("The panel's AASIST is heard over time only where chosen: it takes longer than all others together.")
    job = work.slide_job(found, heard, device, network=network)
    job.wait(1.0)
    if job.result is None:
        _not_yet(found, job, "Over time", "members-time")
        plain_player(found)
        return
    lanes = panels.lanes(found, job.result, [keys[t] for t in chosen])
    player(found.recording, found.opened, lanes=lanes)
    with st.expander("Windows as a table, and what they mean"):
        st.dataframe(panels.course_table(job.result), hide_index=True, width="stretch", height=260)
        st.markdown("**It means:** every member heard windows of 2 s every half second (of 4 s in a long recording); "
                    "each curve is on the member's own calibrated line, so all share one axis. Where they part, listen."
                    "\n\n**It doesn't mean:** the lines were fitted to whole clips, so a window's value is a lead, not "
                    f"a likelihood ratio, and a curve can't tell half seconds apart.\n\nMethod: {panels.PAPER}.")


def _evidence(found: Desk, heard: work.Heard, device: str) -> None:
    st.subheader("Where their evidence lies")
    keys = panels.chosen_keys(heard)
    if len(keys) < 2:
        st.info("There is only one member here, so there is nothing to compare its evidence with.")
        return
    span = found.opened.selection_s or (0.0, min(4.0, found.recording.duration_s))
    st.caption(f"From {span[0]:.2f} to {min(span[1], span[0] + 4.0):.2f} s, scored alone"
               + ("; select another stretch in the player." if found.opened.selection_s is None else ", as selected."))
    job = work.evidence_job(found, heard, keys, span, device)
    job.wait(0.3)
    if job.result is not None:
        panels.evidence(found, job.result)
        return
    _not_yet(found, job, "Evidence", "evidence")
    if not job.ended:
        widgets.skeleton("The members' maps will be here.", 420)


def _of_the_corpus(heard: Any) -> None:
    st.subheader("On clips that none of them had heard")
    corpus.likeness(heard)
    if heard.ours is not None:
        st.subheader("Does training for difference pay?")
        corpus.accuracy(heard)


def _not_yet(found: Desk, job: Job, what: str, key: str) -> None:
    if not job.ended:
        found.places.append(progress.show(job, what, key=key))
    else:
        (st.error if job.state == FAILED else st.info)(job.reason)


main()
