"""The finding in words: the sentence first, the number under it; or that there is none, and why."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from pages.parts.widgets import interval_text, plain, side_sign


def sentence(finding: Any) -> None:
    """The sentence of a finding, its log10 LR with the interval, the verbal equivalent and the scale it comes
    from.
    """
    side = finding.direction
    st.html(
        f'<div class="ew-sentence ew-{side}" role="status"><p>{escape(finding.sentence)}</p>'
        f'<div class="ew-figures"><b>{side_sign(finding.direction)} log10 LR = {interval_text(finding)}</b>'
        f" &nbsp;(scale: {escape(str(finding.scale))}, “{escape(finding.verbal)}”)</div></div>"
    )
    for words in finding.advice:
        st.caption(plain(words))


def abstention(finding: Any) -> None:
    """No finding: each reason with its code, and what could help. No score is shown."""
    lines = "".join(
        f"<p>{'No finding: ' if first else ''}{escape(reason.message)}. "
        f'<span class="ew-code">{escape(reason.code)}</span></p>'
        for first, reason in zip([True] + [False] * len(finding.reasons), finding.reasons, strict=False)
    )
    more = "".join(f'<div class="ew-figures">{escape(words)}</div>' for words in finding.advice)
    st.html(f'<div class="ew-sentence" role="status">{lines or "<p>No finding.</p>"}{more}</div>')
