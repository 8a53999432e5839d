"""Finding: which way the evidence points, how strongly, under which propositions, and when it would rather
not say.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import streamlit as st

from core import figures
from core.segments import Segment
from pages.parts import cache, widgets
from pages.parts.desk import Desk, examined, opinion_note, page, plain_player
from pages.parts.player import Span, line_lane, pending_lane, player
from pages.parts.sentence import abstention, sentence
from pages.parts.stretches import stretches


def _waiting(found: Desk) -> None:
    """The skeleton: the recording can be heard and seen while the score is computed."""
    running = found.job is not None and not found.job.ended
    if running:
        widgets.skeleton("The finding will be here.", 272)
        st.subheader("Where in the recording")
    player(found.recording, found.opened, lanes=[pending_lane("score", "Score over time")] if running else [])


def _no_finding(found: Desk) -> None:
    done = found.examination
    abstention(done.finding)
    opinion_note(found)
    if done.finding.parts_shown:
        _where(found, done)
        _views(done.entropy.member_scores)
    else:
        plain_player(found)
    _checks(done.finding.checks)
    _propositions(done.finding)
    _reproduce(found, done)


def _result(found: Desk, done: Any) -> None:
    finding = done.finding
    sentence(finding)
    opinion_note(found)
    _axis(found, finding)
    _where(found, done)
    left, right = st.columns(2, gap="large")
    with left:
        _detectors(found, finding)
        _views(found.examination.entropy.member_scores)
    with right:
        _error_rates(done)
    _checks(finding.checks)
    _propositions(finding)
    _reproduce(found, done)


# ---- how strongly ------------------------------------------------------------------------------------------


def _axis(found: Desk, finding: Any) -> None:
    figure = cache.figure(
        "lr axis",
        found.key,
        lambda: figures.lr_axis(
            finding.llr_log10,
            finding.llr_low,
            finding.llr_high,
            bounds=tuple(finding.bounds),
            bands=finding.scale.table(),
            provenance=found.provenance,
        ),
    )
    rows = [
        {"what": name, "log10 LR": round(float(value), 3), "LR": f"{10**value:.3g}"}
        for name, value in (
            ("finding", finding.llr_log10),
            ("interval, low", finding.llr_low),
            ("interval, high", finding.llr_high),
            ("bound, low", finding.bounds[0]),
            ("bound, high", finding.bounds[1]),
        )
    ]
    widgets.chart(
        figure,
        "lr-axis",
        table=rows,
        about=(
            "how many times more probable the measured score is under one proposition than under the "
            "other, as a power of "
            "ten; the whisker is the 95 % interval of the calibration.",
            "it is not the probability that the recording is fake: that also depends on everything else "
            "known about the "
            "case. Beyond the dashed bounds the calibration data are too few to support a stronger "
            "statement.",
        ),
        paper="Morrison et al. 2021, Vergeer et al. 2016 (bounds), arXiv 2504.10819 (detector)",
    )


# ---- where -------------------------------------------------------------------------------------------------


def _where(found: Desk, done: Any) -> None:
    st.subheader("Where in the recording")
    score, regions = done.entropy.score, done.finding.regions
    lane = line_lane(
        "score",
        "Score over time",
        score.values,
        hop_s=score.hop_s,
        start_s=score.start_s,
        unit=score.unit,
        diverging=True,
        above="bona fide ↑",
        below="spoof ↓",
        short="score",
        note="marked: where the score speaks for synthesis" if regions else "",
    )
    spans = [Span(r.start_s, r.stop_s, "spoof", "score") for r in regions]
    player(found.recording, found.opened, lanes=[lane], spans=spans)
    stretches(
        found,
        [_segment(r, score.unit) for r in regions],
        key="regions",
        empty=("No stretch of 0.2 s or more leans to synthesis or conversion."),
    )
    with st.expander("The score over time as a figure, its data, and what it means"):
        figure = cache.figure(
            "score",
            found.key,
            lambda: figures.score_over_time(
                score.times_s,
                score.values,
                duration_s=found.recording.duration_s,
                unit=score.unit,
                regions=[(r.start_s, r.stop_s, "spoof") for r in regions],
                provenance=found.provenance,
            ),
        )
        st.plotly_chart(
            figure, key="chart-score", width="stretch", config=figures.config("earwitness-score-over-time")
        )
        st.dataframe(cache.track_table(found.key, "score", score), hide_index=True, height=240)
        st.markdown(
            "**It means:** the frame detector leans to bona fide above zero and to synthesis below it, every "
            "20 ms.\n\n**It doesn't mean:** a single dip is not a finding; only the LR above is calibrated. "
            "Edges of regions are uncertain by some hundred milliseconds, and each value looks 0.4 s around itself."
            "\n\nMethod: a linear score of how cepstra, phase and prediction residual move around each moment, where the "
            "model has a panel; f-InfoED's frame head (arXiv 2504.10819) otherwise."
        )


def _segment(region: Any, unit: str) -> Segment:
    return Segment(region.start_s, region.stop_s, "towards spoof", region.mean_score, unit)


# ---- by whom, how reliable, under which propositions -------------------------------------------------------


def _detectors(found: Desk, finding: Any) -> None:
    st.subheader("Each detector")
    rows = [
        (
            d.name,
            widgets.signed(d.score),
            f"{widgets.signed(d.llr.value)} [{widgets.signed(d.llr.low)}, {widgets.signed(d.llr.high)}]",
        )
        for d in finding.detectors
        if d.llr is not None
    ]
    widgets.table(("detector", "raw score", "log10 LR and interval"), rows, numeric=(1, 2))
    st.caption(
        "Raw scores have no unit and no meaning of their own; higher is more like bona fide."
        + (" There is one detector so far, so nothing confirms it independently." if len(rows) == 1 else "")
    )


VIEW_WORDS = {
    "cepstra": "spectral envelope below 3.8 kHz and how it moves",
    "phase": "how predictable the phase is from frame to frame",
    "residual": "what linear prediction leaves: pulses, noise, harmonicity",
    "lines": "narrow lines in the long-term spectrum",
    "modulation": "how the bands' loudness flutters, 1-200 Hz",
    "aasist": "what the published AASIST network, trained on ASVspoof 5, makes of it",
    "maps": "how strongly that network's inner maps respond, by frequency",
}


def _views(members: Any) -> None:
    """What each view of the panel says: words, not only signs."""
    if not members:
        return
    rows = [(name, VIEW_WORDS.get(name, ""), widgets.signed(value),
             "bona fide" if value > 0.05 else "spoof" if value < -0.05 else "neither")
            for name, value in members.items()]
    widgets.table(("view of the panel", "what it listens to", "raw score", "leans to"), rows, numeric=(2,))
    st.caption("The panel's score is the sum of its views, each divided by its own spread, some counting more than "
               "others (the model card has their weights). Views that disagree are a "
               "reason for caution, and none of them is calibrated by itself.")


def _error_rates(done: Any) -> None:
    st.subheader("How often it is wrong")
    rows = cache.error_rates(done.model)
    if not rows:
        st.markdown(
            "The model card of this detector holds no measured error rates, so nothing is claimed here."
        )
        return
    widgets.table(("measured on held-out material", "value", "95 % interval"), rows, numeric=(1, 2))
    st.caption("From the model card. Material like this recording may be harder or easier.")


def _checks(checks: Any) -> None:
    st.subheader("Checks")
    widgets.checks(checks)


def _propositions(finding: Any) -> None:
    st.subheader("Propositions")
    widgets.propositions(finding.propositions.bonafide, finding.propositions.spoof)


# ---- the same number again ---------------------------------------------------------------------------------


def _reproduce(found: Desk, done: Any) -> None:
    st.subheader("The same number again")
    name = found.recording.name
    st.code(
        f"python -m core examine {shlex.quote(name)} --model {shlex.quote(str(done.model))}", language="bash"
    )
    st.caption(
        f"for the file with sha256 {found.opened.digest}; weights {done.weights_sha256[:12]}, "
        f"version {done.version}."
    )
    body = cache.figure(
        "json",
        found.key,
        lambda: json.dumps(done.to_dict(), indent=1, ensure_ascii=False, allow_nan=False).encode(),
    )
    st.download_button(
        "Download the examination (JSON)",
        body,
        file_name=f"{found.opened.digest[:12]}.earwitness.json",
        mime="application/json",
        on_click="ignore",
    )


page("Finding", examined(_waiting, _no_finding, _result))
