"""Intake: open a recording and establish what it is, before anything is concluded from it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.audio import safe_name
from core.frames import format_time
from pages.parts import cache, progress, widgets
from pages.parts.desk import Desk, plain_player, start_reading
from pages.parts.state import Opened, session

TYPES = [
    "wav",
    "flac",
    "ogg",
    "oga",
    "opus",
    "mp3",
    "m4a",
    "aac",
    "amr",
    "webm",
    "mp4",
    "mov",
    "mkv",
    "aiff",
    "aif",
    "wma",
    "3gp",
    "mka",
]


def main() -> None:
    st.title("Intake")
    st.markdown(
        "Open a recording. It is examined on this machine and never leaves it; the original bytes are not "
        "changed."
    )
    _sources()
    _examples()
    _refusals()
    opened = session().recording
    if opened is None:
        st.info("Nothing is open yet. For a first look, open one of the bundled examples above.")
        return
    st.divider()
    _recording(opened)


# ---- ways in -----------------------------------------------------------------------------------------------


def _sources() -> None:
    left, right = st.columns([3, 2], gap="large")
    files = left.file_uploader(
        "Recordings",
        type=TYPES,
        accept_multiple_files=True,
        key="uploads",
        help="wav, flac, ogg, opus, mp3, m4a, aac, amr, webm or the sound of a video; any rate.",
    )
    spoken = right.audio_input("Record now", key="microphone", sample_rate=16_000)
    given = [(file, file.name) for file in files] + (
        [(spoken, "live recording.wav")] if spoken is not None else []
    )
    fresh = [(file, name) for file, name in given if file.file_id not in session().seen]
    for file, name in fresh:
        _take_in(file.file_id, name, file)
    if fresh:
        st.rerun()  # the sidebar was drawn before the file was known


def _take_in(upload: str, name: str, file) -> None:
    """Hash and decode an uploaded file once; a file that can't be opened gets its reason and the others go
    on.
    """
    now = session()
    body = file.getvalue()
    digest = cache.digest_of(body)
    job = cache.read(digest, name, body)
    now.seen[upload] = digest
    opened = Opened(digest, safe_name(name))
    now.open(opened)
    if not job.wait(2.0):
        return  # a long one: its progress is shown below
    if job.result is None:
        now.refused[upload] = (name, job.reason)
        now.close(digest)
        return
    cache.examine(job.result[0], device=now.device)


def _examples() -> None:
    known = cache.examples()
    if not known:
        return
    with st.expander("Bundled examples", expanded=session().recording is None):
        for row in range(0, len(known), 3):
            for column, entry in zip(st.columns(3, gap="medium"), known[row : row + 3], strict=False):
                with column.container(border=True, height="stretch", vertical_alignment="distribute"):
                    with st.container():
                        st.markdown(f"**{widgets.plain(entry['title'])}**")
                        st.caption(widgets.plain(entry["what_to_notice"]))
                    st.button("Open", key=f"example-{entry['id']}", on_click=_open_example, args=(entry,))


def _open_example(entry: dict) -> None:
    path = Path(entry["path"])
    digest = cache.digest_of(path)
    made = [
        ("made as", entry.get("truth")),
        ("by", entry.get("system")),
        ("source", entry.get("attribution")),
        ("licence", entry.get("licence")),
    ]
    session().open(
        Opened(
            digest,
            path.name,
            path=path,
            notice=entry["what_to_notice"],
            made=tuple((name, str(value)) for name, value in made if value),
        )
    )
    cache.read(digest, path.name, path)


def _refusals() -> None:
    for upload, (name, reason) in list(session().refused.items()):
        words, button = st.columns([8, 1], vertical_alignment="center")
        words.error(f"{widgets.plain(name)}: {reason}")
        if button.button("Dismiss", key=f"dismiss-{upload}", width="stretch"):
            session().refused.pop(upload)
            st.rerun()


# ---- the recording under examination -----------------------------------------------------------------------


def _recording(opened: Opened) -> None:
    job = start_reading(opened)
    if job is None:
        widgets.empty(
            f"{widgets.plain(opened.name)} is no longer in memory; open the file again above.", page=None
        )
        return
    if not job.wait(0.6):
        st.subheader(widgets.plain(opened.name))
        progress.follow([progress.show(job, "Opening", key="read")])
        return
    if job.result is None:
        st.error(f"{widgets.plain(opened.name)}: {job.reason}")
        return
    recording, quality = job.result
    recording = cache.under_name(recording, opened.name)
    examination = cache.examining(opened.digest, device=session().device)
    if examination is None:
        examination = cache.examine(recording, device=session().device)
    found = Desk(opened, recording, quality, job=examination)
    st.subheader(widgets.plain(recording.name))
    if opened.notice and not session().scores_hidden():
        _example_notes(opened)
    for warning in recording.warnings:
        st.warning(widgets.plain(warning))
    plain_player(found)
    _next(found)
    st.subheader("Quality")  # as wide as the page: what failed explains itself beside its limit
    widgets.checks(quality.checks)
    st.subheader("Identity and container")
    _identity(recording)
    progress.follow([], jobs=[examination])


def _example_notes(opened: Opened) -> None:
    """What there is to notice in a bundled example, and where it comes from."""
    st.markdown(f"**To notice:** {widgets.plain(opened.notice)}")
    with st.expander("Where this example comes from"):
        widgets.facts(opened.made)


def _next(found: Desk) -> None:
    """Where to go from here; a failed examination says why."""
    job = found.job
    if job is not None and job.error is not None:
        st.error(job.reason)
    elif job is not None and not job.ended:
        st.caption("The examination is running; its result will be on the Finding page.")
    st.page_link("pages/finding.py", label="Go to the finding →")


def _identity(recording) -> None:
    facts = recording.facts
    depth = f", {facts.bit_depth} bit" if facts.bit_depth else ""
    rate = f", {facts.bit_rate_bps / 1000:.0f} kbit/s" if facts.bit_rate_bps else ""
    pairs = [
        ("sha256", recording.sha256),
        ("size", _size(facts.n_bytes)),
        ("container", facts.container),
        ("codec", f"{facts.codec}{rate}"),
        (
            "format",
            f"{facts.sample_rate_hz} Hz{depth}, {facts.channels} channel{'s' if facts.channels != 1 else ''}",
        ),
        ("duration", f"{format_time(facts.duration_s)} ({len(recording.samples)} samples at 16 kHz)"),
        ("highest frequency", f"{facts.bandwidth_hz:.0f} Hz"),
        ("decoded by", facts.decoder),
    ]
    pairs += [(f"tag: {key}", value) for key, value in list(facts.tags.items())[:12]]
    widgets.facts(pairs)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.1f} kB"


main()
