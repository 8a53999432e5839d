"""A table of marked stretches that can be played by clicking a row, and exported for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.segments import Segment, table, to_audacity, to_csv, to_rttm
from pages.parts.desk import Desk
from pages.parts.state import Opened, order


def stretches(found: Desk, rows: Sequence[Segment], *, key: str, empty: str) -> None:
    """Draw the table (select a row to hear it) and the three exports."""
    if not rows:
        st.caption(empty)
        return
    name = f"table-{key}-{found.opened.digest[:12]}"
    st.caption("Select a row to hear it.")
    st.dataframe(
        table(rows),
        hide_index=True,
        width="stretch",
        key=name,
        selection_mode="single-row",
        on_select=lambda: _play(found.opened, rows, name),
        height=min(38 + 35 * len(rows), 290),
    )
    _exports(found, rows, key)


def _play(opened: Opened, rows: Sequence[Segment], name: str) -> None:
    chosen = st.session_state[name]["selection"]["rows"]
    if chosen and chosen[0] < len(rows):
        first, last = rows[chosen[0]].samples
        order(opened, seek=first, select=(first, last), play=True)


def _exports(found: Desk, rows: Sequence[Segment], key: str) -> None:
    stem, recording = f"{found.opened.digest[:12]}-{key}", found.recording
    files: tuple[tuple[str, str, bytes, str], ...] = (
        ("CSV", "csv", to_csv(rows, name=recording.name, sha256=recording.sha256), "text/csv"),
        ("Audacity labels", "txt", to_audacity(rows), "text/plain"),
        ("RTTM", "rttm", to_rttm(rows, name=recording.name), "text/plain"),
    )
    with st.container(horizontal=True):
        for title, ending, body, mime in files:
            st.download_button(
                title,
                body,
                file_name=f"{stem}.{ending}",
                mime=mime,
                on_click="ignore",
                key=f"export-{key}-{ending}",
            )


__all__: list[Any] = ["stretches"]
