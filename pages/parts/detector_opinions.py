"""All detectors' opinions of the current recording beside the default finding: table, words, one time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core import figures, jobs
from core.detectors.agreement import agreement, over_time, says
from core.detectors.base import Opinion
from core.detectors.standing import Standing
from core.jobs import FAILED, Job
from pages.parts import progress, widgets
from pages.parts.desk import Desk, opinion_note, plain_player
from pages.parts.player import line_lane, player
from pages.parts.state import session

HOP_S = 0.1
PANEL = "panel"  # the default finding itself; it is a detector only so that it can be explained
LANES = 6  # of window scores in the player; the table has all
SIGNED = {"diverging": True, "above": "bona fide ↑", "below": "spoof ↓"}
# reasons that say nothing about other detectors
OF_THE_DEFAULT_ALONE = {"window-conflict", "far-from-calibration", "members-disagree"}


def opinions(found: Desk, own: tuple[Standing, ...]) -> None:
    """The default finding and every chosen detector. Call once the examination is done."""
    finding = found.examination.finding
    fatal = [r for r in finding.reasons if r.code not in OF_THE_DEFAULT_ALONE]
    if fatal:
        st.info(f"{finding.sentence} What keeps the examination from a finding keeps other detectors from one too, so "
                "their scores are not shown.")
        plain_player(found)
        return
    opinion_note(found)
    chosen = _choose(own)
    answers = [a for a in (_answer(found, name, own) for name in chosen) if a is not None]
    _table(found, answers)
    _words(found, answers)
    _axis(found, answers)
    _compared(found, answers)


def _choose(own: tuple[Standing, ...]) -> list[str]:
    """Names to listen to; whenever another detector becomes ready, the choice begins anew with all ready ones."""
    from core import detectors
    from models.registry import DEFAULT_MODEL

    mine = {s.name for s in own}
    options = [n for n in detectors.names() if n not in (DEFAULT_MODEL, PANEL)]
    ready = [s.name for s in own if not s.refusal]
    if not options:
        st.caption("No other detector is open; bring one below.")
        return []
    return st.multiselect("Detectors beside the default", options, default=[n for n in options if n in ready],
                          format_func=lambda n: n if n in mine else f"{n} (of this workbench)",
                          key=f"detectors-shown-{'-'.join(ready)}")


def _answer(found: Desk, name: str, own: tuple[Standing, ...]) -> Opinion | None:
    """The opinion, or None while it is being formed; a bar is drawn in its place."""
    from core.detectors import refused

    known = next((s for s in own if s.name == name), None)
    if known is not None and known.refusal:
        return refused(name, known.refusal)
    job = _listen(found, name, known.stamp if known else "")
    job.wait(0.05)
    if job.result is not None:
        return job.result
    if not job.ended:
        found.places.append(progress.show(job, f"{widgets.plain(name)} is listening", key=f"opinion-{name}"))
        return None
    return refused(name, job.reason if job.state == FAILED else "Cancelled; choose it again to let it listen.")


def _listen(found: Desk, name: str, stamp: str) -> Job:
    """The job that forms one opinion; its result is an ``Opinion``. One that ended without a result stays so until the
    page is opened anew."""
    device, recording, encoding = session().device, found.recording, found.examination.encoding

    def work(job: Job) -> Opinion:
        from core import detectors

        job.report(0.0, "loading")
        return detectors.load(name, device).opinion(
            recording, encoding, on_progress=lambda share: job.report(share, "listening"), cancelled=job.cancelled)

    key = ("opinion", found.opened.digest, name, stamp, device)
    known = jobs.find(key)
    return known if known is not None and known.ended else jobs.submit(key, work)


# ---- the table and the words -------------------------------------------------------------------------------------------


def _table(found: Desk, answers: list[Opinion]) -> None:
    st.subheader("What each detector says")
    widgets.table(("detector", "raw score", "log10 LR and interval", "bounds", "in words", "trained on"),
                  [_default_row(found), *(_row(o) for o in answers)], numeric=(1, 2, 3))
    st.caption("Raw scores have no common unit: they can't be compared between detectors. Higher "
               "is more like bona fide. Only log10 LRs can be compared, and each only within its own bounds.")
    for opinion in answers:
        for note in opinion.notes:
            st.markdown(f"- **{widgets.plain(opinion.title)}:** {widgets.plain(note)}")


def _default_row(found: Desk) -> tuple[str, ...]:
    finding = found.examination.finding
    name = f"{widgets.decider(finding)} (default)"
    if finding.abstained:
        codes = ", ".join(r.code for r in finding.reasons)
        return (name, "–", "–", "–", f"no finding ({codes})", "see Model card")
    low, high = finding.bounds
    return (name, widgets.signed(finding.score), widgets.interval_text(finding),
            f"{widgets.signed(low)} … {widgets.signed(high)}", finding.verbal, "see Model card")


def _row(opinion: Opinion) -> tuple[str, ...]:
    llr, bounds = opinion.llr, opinion.bounds
    raw = "–" if opinion.score is None else widgets.signed(opinion.score)
    shown = "–" if llr is None else (f"{widgets.signed(llr.value)} [{widgets.signed(llr.low)}, "
                                     f"{widgets.signed(llr.high)}]")
    return (opinion.title, f"{raw} (raw)" if opinion.score is not None and llr is None else raw, shown,
            "–" if bounds is None else f"{widgets.signed(bounds[0])} … {widgets.signed(bounds[1])}",
            says(opinion), opinion.exposure or "–")


def _words(found: Desk, answers: list[Opinion]) -> None:
    calibrated, raw = _llrs(found, answers), sum(o.score is not None and o.llr is None for o in answers)
    text = agreement([(name, value) for name, value, *_ in calibrated], uncalibrated=raw)
    st.markdown(f"##### {widgets.plain(text)}")


def _llrs(found: Desk, answers: list[Opinion]) -> list[tuple[str, float, float, float]]:
    """(name, log10 LR, low, high) of everything calibrated, the default first."""
    finding = found.examination.finding
    rows = [] if finding.abstained else [("the default", finding.llr_log10, finding.llr_low, finding.llr_high)]
    return rows + [(o.title, o.llr.value, o.llr.low, o.llr.high) for o in answers if o.llr is not None]


# ---- over time and side by side ----------------------------------------------------------------------------------------


def _axis(found: Desk, answers: list[Opinion]) -> None:
    st.subheader("Where in the recording")
    heard = [o for o in answers if o.score is not None]
    lanes, finding = [], found.examination.finding
    if not finding.abstained:
        score = found.examination.entropy.score
        lanes.append(line_lane("score", "Default: score over time", score.values, hop_s=score.hop_s,
                               start_s=score.start_s, short="score", **SIGNED))
    for place, o in enumerate(heard[:LANES]):
        values = over_time(o.windows, o.window_scores, len(found.recording.samples), HOP_S)
        lanes.append(line_lane(f"detector-{place}", f"{o.title}: raw score of each window", values, hop_s=HOP_S,
                               start_s=HOP_S / 2, short=o.title[:10], **SIGNED,
                               note=f"{len(o.windows)} windows" + ("; saturated" if o.saturated else "")))
    if lanes:
        player(found.recording, found.opened, lanes=lanes)
    else:
        plain_player(found)
    if heard:
        with st.expander("Window scores as a table, and what they mean"):
            st.dataframe(_windows(heard), hide_index=True, width="stretch", height=260)
            st.markdown("**It means:** each detector's own log odds for every window that it heard; where a curve dips, "
                        "listen.\n\n**It doesn't mean:** curves of different detectors have no common unit, and a window "
                        "isn't calibrated by itself. A detector that needs four seconds can't tell which one.")


def _windows(heard: list[Opinion]) -> dict[str, Any]:
    rows = [(o.title, w.start / 16_000, w.stop / 16_000, float(s)) for o in heard
            for w, s in zip(o.windows, o.window_scores, strict=True)]
    names = ("detector", "from, s", "to, s", "raw score")
    return {name: [round(r[i], 3) if i else r[0] for r in rows] for i, name in enumerate(names)}


def _compared(found: Desk, answers: list[Opinion]) -> None:
    rows = _llrs(found, answers)
    if len(rows) < 2:
        return
    st.subheader("Side by side")
    plain = [(name.replace("<", "‹").replace(">", "›")[:40], *numbers) for name, *numbers in rows]
    table = {"detector": [r[0] for r in rows], **{name: np.round([r[i] for r in rows], 3) for i, name in
                                                 ((1, "log10 LR"), (2, "interval, low"), (3, "interval, high"))}}
    widgets.chart(figures.detector_llrs(plain, provenance=found.provenance), "detectors", table=table,
                  about=("each calibrated detector's log10 LR with the 95 % interval of its own calibration; right of "
                         "zero is towards bona fide.",
                         "they are not fused, and agreement between detectors trained on the same material is no "
                         "independent confirmation."), paper="Morrison 2013 (calibration)")
