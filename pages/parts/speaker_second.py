"""The Speaker page's second opinion: another's speaker encoder on the same references and stretches."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.jobs import FAILED
from core.speaker.verdict import verdict
from core.speaker.verify import Verification
from pages.parts import progress, widgets
from pages.parts.desk import Desk
from pages.parts.speaker_state import Second, asked, asking_second


def second(found: Desk, v: Verification, networks: Any, at: float) -> Any:
    """Which encoder to ask, and what it answered beside ours. Moving the threshold asks nobody anew.

    Returns the ``SecondOpinion`` at this threshold, None where there is none.
    """
    st.subheader("A second opinion")
    st.caption("Ask another speaker encoder: a WavLM, UniSpeech-SAT or wav2vec 2.0 x-vector model, from a folder on this "
               "machine or by its hub id. Only its configuration and safetensors are read. Nothing is fetched unless you "
               "allow it, and no sound leaves this machine.")
    left, middle, right = st.columns([5, 3, 1], vertical_alignment="bottom")
    name = left.text_input("Folder or hub id", key="second-name", placeholder="owner/name")
    download = middle.checkbox("Download it if it isn't here", key="second-download")
    if right.button("Ask", key="second-ask", width="stretch", disabled=not name.strip()):
        asked().second = Second(name.strip(), download, v.sha256, v.enrolment.key, round(at, 2))
        st.rerun()
    one = asked().second
    if one is None or (one.sha256, one.enrolment) != (v.sha256, v.enrolment.key):
        return None
    job = asking_second(one, found.recording, v, networks.device)
    job.wait(0.5)
    if not job.ended:
        found.places.append(progress.show(job, "Asking the second encoder", key="second"))
        return None
    if job.result is None:
        (st.error if job.state == FAILED else st.info)(widgets.plain(job.reason))
        return None
    _table(verdict(v, networks, one.threshold), job.result)
    if one.threshold == round(at, 2):
        return job.result
    st.info(f"Asked at the threshold {one.threshold:.2f}. Ask again for what is kept and rejected at {at:.2f}.")
    return None


def _table(ours: Any, theirs: Any) -> None:
    def shown(value: float | None) -> str:
        return "–" if value is None else widgets.signed(value)

    rows = [(words, shown(a), shown(b)) for words, a, b in (
        ("kept frames", ours.kept.cosine, theirs.kept), ("rejected frames", ours.rejected.cosine, theirs.rejected),
        ("the recording as it is", ours.raw.cosine, theirs.whole))]
    widgets.table(("compared with the enrolment", "cosine here", f"cosine of {widgets.plain(theirs.name)}"), rows,
                  numeric=(1, 2))
    least = "" if theirs.references is None else (f" By its measure the references' cosines with their mean are "
                                                  f"{theirs.references:.2f} and more.")
    st.caption("Raw similarities, uncalibrated: cosines of different encoders have different scales, so compare the rows "
               f"of a column, not the columns. The second encoder has no part in the verdict.{least} Weights "
               f"{theirs.sha256[:12]}.")
