"""The sidebar of every page: the recording under examination, its lights, the finding in brief, the
detector.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from core.frames import format_time
from pages.parts import cache
from pages.parts.state import Opened, session
from pages.parts.widgets import decider, facts, interval_text, lights, side_sign

_STYLE = Path(__file__).with_name("style.css")


def sidebar() -> None:
    """The recording under examination, its quality lights, the finding in brief, blind mode and the
    detector.
    """
    st.html(_STYLE)
    now = session()
    with st.sidebar:
        st.markdown("##### Under examination")
        if now.recording is None:
            st.html('<div class="ew-soft">No recording is open. Open one on the Intake page.</div>')
        else:
            _switcher()
            _identity(now.recording)
        _blind_switch()
        _detector_line(now.recording)


def _switcher() -> None:
    now = session()
    if len(now.opened) < 2:
        return
    digests = list(now.opened)

    def switch() -> None:
        now.current = st.session_state["switcher"]

    st.session_state["switcher"] = now.current
    st.selectbox(
        "Open recordings",
        digests,
        key="switcher",
        on_change=switch,
        format_func=lambda d: f"{now.opened[d].name} · {d[:6]}" if d in now.opened else d[:6],
    )


def _identity(opened: Opened) -> None:
    job = cache.reading(opened.digest)
    if job is None or job.result is None:
        st.html(
            f'<div class="ew-name">{escape(opened.name)}</div><div class="ew-soft">sha256 '
            f'<span class="ew-mono">{opened.digest[:12]}</span></div>'
        )
        return
    recording, quality = job.result
    st.html(
        f'<div class="ew-name">{escape(opened.name)}</div>'
        f'<div class="ew-soft">{format_time(recording.duration_s)} · sha256 '
        f'<span class="ew-mono">{opened.digest[:12]}</span></div>{lights(quality.checks)}'
    )
    examined = cache.examining(opened.digest, device=session().device)
    if examined is None:
        return
    if not examined.ended:
        st.html('<hr class="ew-rule"><div class="ew-soft">Examining …</div>')
    elif examined.result is not None:
        _brief(examined.result.finding)


def _brief(finding: Any) -> None:
    """The finding in one line, unless blind mode hides it."""
    if session().scores_hidden():
        words = "Scores are hidden until you have listened and written your opinion (Finding page)."
        st.html(f'<hr class="ew-rule"><div class="ew-soft">{words}</div>')
    elif finding.abstained or finding.llr_log10 is None:
        codes = " ".join(f'<span class="ew-code">{escape(r.code)}</span>' for r in finding.reasons)
        st.html(f'<hr class="ew-rule"><div><b>No finding</b> {codes}</div>')
    else:
        st.html(
            f'<hr class="ew-rule"><div><b>{side_sign(finding.direction)} '
            f"log10 LR = {interval_text(finding)}</b>"
            f'<div class="ew-soft">{escape(finding.verbal)}</div></div>'
        )


def _blind_switch() -> None:
    now = session()

    def flip() -> None:
        now.blind = st.session_state["blind"]

    st.session_state["blind"] = now.blind
    st.toggle(
        "Blind mode",
        key="blind",
        on_change=flip,
        help="Hides every score of a recording until you have listened to it and written down "
        "your own opinion.",
    )


def _detector_line(opened: Opened | None) -> None:
    job = cache.examining(opened.digest, device=session().device) if opened else None
    done = job.result if job is not None and job.state == "done" else None
    words = "The embedded default gives the finding"
    if done is not None:
        words = f"Finding by {decider(done.finding)} · {done.device}"
    st.html(f'<div class="ew-soft">{escape(words)}</div>')
    with st.expander("Details"):
        if done is None:
            st.html(
                '<div class="ew-soft">It is loaded with the first examination. Everything runs on this '
                "machine; nothing is sent anywhere.</div>"
            )
            return
        facts(
            [
                ("decides", decider(done.finding)),
                ("model", done.model),
                ("weights", done.weights_sha256[:12]),
                ("device", done.device),
                ("version", done.version),
                ("examined in", f"{done.seconds:.1f} s"),
            ]
        )
