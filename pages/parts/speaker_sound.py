"""What the gate kept and what it rejected, to hear and to take away; and the finding of the kept part alone."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.figures import detector_llrs
from core.jobs import FAILED
from core.speaker.measured import alone_words
from core.speaker.parts import wav
from core.speaker.verdict import segments
from core.speaker.verify import Verification
from pages.parts import cache, progress, widgets
from pages.parts.desk import Desk
from pages.parts.speaker_panels import key_of, provenance, segments_of
from pages.parts.speaker_state import asked, examining_only
from pages.parts.stretches import stretches

AT_ONCE_S = 300.0  # longer sounds are cut on request


def sides(found: Desk, v: Verification, at: float) -> None:
    """Kept and rejected: players, downloads, exact stretches."""
    kept, rejected = segments(v, at)
    st.subheader("Kept and rejected")
    now = v.duration_s <= AT_ONCE_S or st.toggle("Cut the sound (a long recording)", key="speaker-cut")
    columns = st.columns(2, gap="large")
    for column, name, chosen in zip(columns, ("kept", "rejected"), (kept, rejected), strict=True):
        with column:
            st.markdown(f"**{name.capitalize()}**: {segments_of(chosen)}")
            if chosen and now:
                body = cache.figure("speaker sound", (key_of(v), at, name),
                                    lambda chosen=chosen: wav(found.recording.samples, chosen))
                st.audio(body, format="audio/wav")
                st.download_button(f"Download the {name} sound (WAV)", body, mime="audio/wav", on_click="ignore",
                                   file_name=f"{v.sha256[:12]}.{name}-{at:.2f}.wav", key=f"download-{name}")
            stretches(found, chosen, key=name, empty=f"Nothing is {name} at this threshold.")


def only(found: Desk, v: Verification, at: float) -> None:
    """The spoof detectors' finding of the kept frames alone, beside that of the whole recording."""
    st.subheader("Examine only this speaker")
    st.markdown("Is this voice real? The detector hears the kept frames alone, as a recording of its own, and its "
                "finding stands beside the one for the whole recording.")
    st.caption(alone_words(v.networks_sha256) or "How often this helps hasn't been measured with these networks.")
    kept, _ = segments(v, at)
    key = (v.sha256, v.enrolment.key, round(at, 2))
    if key not in asked().only:
        if st.button("Examine only this speaker", type="primary", disabled=not kept):
            asked().only.add(key)
            st.rerun()
        return
    job = examining_only(found.recording, kept, key)
    job.wait(0.3)
    if not job.ended:
        found.places.append(progress.show(job, "Examining this speaker", key="only"))
        return
    if job.result is None:
        (st.error if job.state == FAILED else st.info)(job.reason)
        return
    if found.examination is None:
        st.caption("The whole recording is still being examined; its finding will stand beside this one.")
    _compared(found, v, job.result, at)


def _compared(found: Desk, v: Verification, alone: Any, at: float) -> None:
    whole = found.examination
    named = [("the whole recording", whole), (f"this speaker only (threshold {at:.2f})", alone)]
    rows = [(name, _number(e.finding), e.finding.sentence) for name, e in named if e is not None]
    widgets.table(("examined", "log10 LR (bona fide over spoof)", "finding"), rows, numeric=(1,))
    moved = difference(whole, alone)
    if moved:
        st.markdown(f"**{moved}**")
    llrs = [(name, e.finding.llr_log10, e.finding.llr_low, e.finding.llr_high)
            for name, e in named if e is not None and not e.finding.abstained]
    if llrs:
        figure = cache.figure("only llrs", (key_of(v), at, len(llrs)), lambda: detector_llrs(
            llrs, provenance=provenance(found, v)))
        table = [dict(zip(("examined", "log10 LR", "low", "high"), row, strict=True)) for row in llrs]
        widgets.chart(figure, "only", table=table, paper="arXiv 2305.19581 (gate), the Finding page (detector)", about=(
            "the same detector and calibration on two stretches of sound: everything, and what the gate kept of the "
            "enrolled voice.",
            "the cuts between kept stretches are no speech that anybody spoke, and the detector was calibrated on uncut "
            "clips; with many short stretches trust the difference less."))
    st.caption(f"Examined alone: {alone.recording.duration_s:.1f} s in {widgets.plain(alone.recording.name)}, sha256 "
               f"{alone.recording.sha256[:12]}.")


def _number(finding: Any) -> str:
    return "no finding" if finding.abstained else widgets.interval_text(finding)


def difference(whole: Any, alone: Any) -> str:
    """How the finding moved, in a sentence; empty while there is nothing to compare."""
    if whole is None:
        return ""
    if whole.finding.abstained or alone.finding.abstained:
        return "The two can't be compared in numbers, because one of them abstains."
    moved = alone.finding.llr_log10 - whole.finding.llr_log10
    way = "bona fide" if moved > 0 else "synthesis or conversion"
    turned = " and changes sides" if alone.finding.llr_log10 * whole.finding.llr_log10 < 0 else ""
    return f"Heard alone, the log10 LR moves by {widgets.signed(moved)}, towards {way}{turned}."
