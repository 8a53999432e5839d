"""What lies on the desk: the recording under examination and how far its examination has come.

Every page after Intake starts with ``desk()``: it starts the work that is missing, shows progress or a reason
in the place where the result will be, and hides scores in blind mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.jobs import FAILED, Job
from pages.parts import cache, progress, widgets
from pages.parts.player import player, steps_lane
from pages.parts.state import Opened, session, write_opinion

VERDICTS = ("bona fide", "synthetic or converted", "partly synthetic", "I can't tell")
ENOUGH_HEARD = 0.8  # of the recording, or ENOUGH_HEARD_S seconds of a long one
ENOUGH_HEARD_S = 60.0


@dataclass
class Desk:
    """The current recording with whatever is known of it; ``examination`` is None until its job is done."""

    opened: Opened
    recording: Any
    quality: Any
    examination: Any = None
    job: Job | None = None
    places: list = field(default_factory=list)

    @property
    def key(self) -> tuple:
        """What a figure of this examination depends on."""
        done = self.examination
        return (
            self.opened.digest,
            self.opened.name,
            getattr(done, "weights_sha256", ""),
            getattr(done, "version", ""),
        )

    @property
    def provenance(self) -> str:
        """The line under every figure: which file, which model, which version."""
        done = self.examination
        name = self.recording.name if len(self.recording.name) <= 24 else self.recording.name[:23] + "…"
        plain = name.replace("<", "‹").replace(">", "›").replace("&", "+")
        words = f"{plain} · {self.opened.digest[:12]}"
        return words + (f" · {done.model} {done.weights_sha256[:8]} · {done.version}" if done else "")

    def finish(self) -> None:
        """Call last on the page."""
        progress.follow(self.places)


def desk(title: str) -> Desk | None:
    """Title of the page and the desk; None, with what to do next on the page, when there is nothing to
    examine.
    """
    st.title(title)
    opened = session().recording
    if opened is None:
        widgets.empty(
            "No recording is open. Upload one, record one or open a bundled example on the Intake page."
        )
        return None
    job = start_reading(opened)
    if job is None:
        widgets.empty(
            f"{widgets.plain(opened.name)} is no longer in memory; open the file again on the Intake page."
        )
        return None
    if not job.wait(0.6):
        progress.follow([progress.show(job, f"Opening {widgets.plain(opened.name)}", key="read")])
        return None
    if job.result is None:
        st.error(job.reason)
        st.page_link("pages/intake.py", label="Open another recording")
        return None
    recording, quality = job.result
    found = Desk(opened, cache.under_name(recording, opened.name), quality)
    _examine(found)
    return found


def page(title: str, draw: Callable[[Desk], None]) -> None:
    """A whole page on the recording on the desk: ``draw``, unless there is none or scores are hidden."""
    found = desk(title)
    if found is None:
        return
    if not blind_gate(found):
        draw(found)
    found.finish()


def examined(
    waiting: Callable[[Desk], None], abstained: Callable[[Desk], None], result: Callable[[Desk, Any], None]
) -> Callable[[Desk], None]:
    """What a page on the examination draws: one of three, by how far the examination has come."""

    def draw(found: Desk) -> None:
        examination_place(found)
        if found.examination is None:
            waiting(found)
        elif found.examination.finding.abstained:
            abstained(found)
        else:
            result(found, found.examination)

    return draw


def withheld(found: Desk, consequence: str) -> None:
    """Instead of a result where the examination abstained; ``consequence`` goes on after "so"."""
    codes = ", ".join(reason.code for reason in found.examination.finding.reasons)
    st.info(f"The examination abstained ({codes}), so {consequence}. The Finding page says what was missing.")
    plain_player(found)
    st.page_link("pages/finding.py", label="Go to the finding")


def start_reading(opened: Opened) -> Job | None:
    """The recording's decoding job; a bundled example that fell out of the cache is read again."""
    job = cache.reading(opened.digest)
    if job is None and opened.path is not None:
        job = cache.read(opened.digest, opened.name, opened.path)
    return job


def _examine(found: Desk) -> None:
    """Start or find the examination. A failed or cancelled one waits for the user's word instead of starting
    again.
    """
    device = session().device
    job = cache.examining(found.opened.digest, device=device)
    if job is None:
        job = cache.examine(found.recording, device=device)
    job.wait(0.05)
    found.job = job
    if job.result is not None:
        found.examination = cache.under_name(job.result, found.opened.name)


def examination_place(found: Desk) -> None:
    """Where the result will be: progress with cancel, or why there is none and a way to try again."""
    job = found.job
    if job is None or found.examination is not None:
        return
    if not job.ended:
        found.places.append(progress.show(job, "Examining", key="examine"))
        return
    (st.error if job.state == FAILED else st.info)(job.reason + " The recording is still open.")
    if st.button("Examine again", type="primary"):
        cache.examine(found.recording, device=session().device)
        st.rerun()


def blind_gate(found: Desk) -> bool:
    """In blind mode, before an opinion is written: the player without scores and the form. True while scores
    are hidden.
    """
    if not session().scores_hidden():
        return False
    st.markdown("**Blind mode.** Listen first, then write down what you think; the scores appear after that.")
    plain_player(found, report_heard=True)
    _opinion_form(found)
    return True


def _opinion_form(found: Desk) -> None:
    opened, duration = found.opened, found.recording.duration_s
    needed = min(ENOUGH_HEARD * duration, ENOUGH_HEARD_S)
    heard = opened.heard_s >= needed - 0.15
    done = f"Heard so far: {opened.heard_s:.1f} s of {duration:.1f} s" + (
        "." if heard else f"; {needed:.1f} s are needed."
    )
    st.caption(done)
    verdict = st.radio(
        "Your opinion", VERDICTS, index=None, horizontal=True, key=f"verdict-{opened.digest[:12]}"
    )
    words = st.text_area("Why: what did you hear, and where?", key=f"words-{opened.digest[:12]}", height=100)
    ready = heard and verdict is not None and len(words.split()) >= 2
    if st.button("Record my opinion and show the scores", type="primary", disabled=not ready):
        write_opinion(opened, str(verdict), words)
        st.rerun()
    if not ready:
        st.caption("Listen to the recording, choose an opinion and give at least a few words of reason.")


def opinion_note(found: Desk) -> None:
    """The opinion that was written before the scores were shown, kept beside them."""
    opinion = found.opened.opinion
    if opinion is not None:
        st.caption(
            f"Your opinion before the scores were shown ({opinion.written}, {opinion.heard_s:.1f} s heard): "
            f"**{opinion.verdict}**."
        )
        st.text(opinion.words)


def plain_player(found: Desk, *, report_heard: bool = False) -> None:
    """The player with nothing in it that tells a score: sound, spectrogram, where speech was found."""
    speech = found.quality.speech
    lane = steps_lane(
        "speech",
        "Speech found",
        speech.values,
        hop_s=speech.hop_s,
        start_s=speech.start_s,
        note=f"{found.quality.speech_s:.1f} s of speech",
    )
    player(found.recording, found.opened, lanes=[lane], report_heard=report_heard)


__all__ = [
    "Desk",
    "blind_gate",
    "desk",
    "examination_place",
    "examined",
    "opinion_note",
    "page",
    "plain_player",
    "start_reading",
    "withheld",
]
