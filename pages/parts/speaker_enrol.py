"""Enrolling the voice in question: references from files, the microphone, a region, open recordings or examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from core.frames import format_time
from pages.parts import cache, widgets
from pages.parts.desk import Desk
from pages.parts.speaker_state import Wanted, asked, want
from pages.parts.state import session

FILE, MICROPHONE, REGION, OPEN, EXAMPLE = ("a file", "the microphone", "the selected region", "an open recording",
                                           "a bundled example")


def enrol(found: Desk, networks: Any) -> None:
    """The whole section: what is enrolled, and ways to enrol more."""
    now = asked()
    names = ", ".join(r.name for r in now.references.values())
    title = "The voice in question" + (f": {widgets.plain(names)}" if names else "")
    with st.expander(title, expanded=not now.references):
        st.caption("Enrol the person from one or more recordings of that voice alone, best made over the same channel. "
                   "References stay in this session and on this machine.")
        way = st.segmented_control("Enrol from", [FILE, MICROPHONE, REGION, OPEN, EXAMPLE], default=FILE,
                                   key="enrol-from", required=True)
        {FILE: _file, MICROPHONE: _microphone, REGION: _region, OPEN: _open, EXAMPLE: _example}[way](found, networks)
        for digest, words in list(now.refused.items()):
            left, right = st.columns([8, 1], vertical_alignment="center")
            left.error(widgets.plain(words))
            if right.button("Dismiss", key=f"dismiss-{digest[:12]}", width="stretch"):
                now.refused.pop(digest)
                st.rerun()
        if now.wanted:
            st.caption(f"Listening to {len(now.wanted)} reference{'s' if len(now.wanted) > 1 else ''} …")
        _list()


def _list() -> None:
    now = asked()
    for i, (one, r) in enumerate(list(now.references.items())):
        left, right = st.columns([8, 1], vertical_alignment="center")
        first, last = r.seconds
        where = "" if r.whole else f", {format_time(first)} to {format_time(last)}"
        voices = {True: "✗ more than one voice", False: "✓ one voice", None: "number of voices not examined"}
        left.markdown(f"**{widgets.plain(r.name)}**{where} · {r.speech_s:.1f} s of speech · "
                      f"{voices[r.speakers.several]} · up to {r.bandwidth_hz:.0f} Hz, {widgets.plain(r.codec)} · sha256 "
                      f"{r.sha256[:12]}")
        if right.button("Remove", key=f"remove-reference-{i}", width="stretch"):
            now.references.pop(one)
            st.rerun()


def _take(file: Any, name: str, networks: Any) -> bool:
    """Take an upload in once; True if it was new."""
    if file.file_id in asked().taken:
        return False
    asked().taken.add(file.file_id)
    body = file.getvalue()
    want(cache.digest_of(body), name, body, networks)
    return True


def _file(found: Desk, networks: Any) -> None:
    files = st.file_uploader("References", accept_multiple_files=True, key="enrol-files",
                             help="wav, flac, ogg, opus, mp3, m4a, aac, amr, webm or the sound of a video")
    fresh = [file for file in files if _take(file, file.name, networks)]
    if fresh:
        st.rerun()


def _microphone(found: Desk, networks: Any) -> None:
    spoken = st.audio_input("Record the person", key="enrol-microphone", sample_rate=16_000)
    if spoken is not None and _take(spoken, "live reference.wav", networks):
        st.rerun()


def _region(found: Desk, networks: Any) -> None:
    chosen = found.opened.selection
    if chosen is None:
        st.caption("Drag over a stretch in the player in which only this person speaks; then enrol it here. A voice "
                   "enrolled from the recording itself shows where it speaks, but gives no likelihood ratio.")
        return
    first, last = (s / 16_000 for s in chosen)
    if st.button(f"Enrol {format_time(first)} to {format_time(last)}", type="primary"):
        want(found.opened.digest, found.opened.name, None, networks, chosen)
        st.rerun()


def _open(found: Desk, networks: Any) -> None:
    others = {d: o for d, o in session().opened.items() if d != found.opened.digest}
    if not others:
        st.caption("No other recording is open; open the reference on the Intake page or give it as a file.")
        return
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    digest = left.selectbox("Open recordings", list(others), key="enrol-open", format_func=lambda d: others[d].name)
    if right.button("Enrol", key="enrol-open-button", width="stretch"):
        want(digest, others[digest].name, others[digest].path, networks)
        st.rerun()


def _example(found: Desk, networks: Any) -> None:
    known = {e["id"]: e for e in cache.examples()}
    if not known:
        st.caption("The examples folder is missing.")
        return
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    name = left.selectbox("Bundled examples", list(known), key="enrol-example",
                          format_func=lambda i: f"{known[i]['title']} ({i})")
    if right.button("Enrol", key="enrol-example-button", width="stretch"):
        path = Path(known[name]["path"])
        want(cache.digest_of(path), path.name, path, networks)
        st.rerun()


__all__ = ["Wanted", "enrol"]
