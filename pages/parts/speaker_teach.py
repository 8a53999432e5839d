"""Teaching mode: two bundled voices mixed at a chosen ratio, the gate against the known truth, and the error curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from core.examine import quality_of
from core.figures import speaker as drawn
from core.speaker.card import share_curves
from core.speaker.mixture import OVERLAP, TURNS, agreement
from core.speaker.vad import HOP
from core.speaker.verdict import verdict
from core.speaker.verify import Verification
from pages.parts import cache, progress, speaker_panels, widgets
from pages.parts.desk import Desk
from pages.parts.player import steps_lane
from pages.parts.speaker_state import Lesson, asked, mixing, verifying
from pages.parts.state import Opened

VOICES = ("real-woman", "real-man", "neural-voice", "statistical-voice", "formant-voice")


def teach(networks: Any) -> None:
    """The whole mode."""
    lesson = _choices()
    if lesson is None:
        return
    paths = {e["id"]: Path(e["path"]) for e in cache.examples()}
    job = mixing(lesson, paths[lesson.target], paths[lesson.other])
    job.wait(3.0)
    if job.result is None:
        if job.ended:
            st.error(job.reason)
        else:
            progress.follow([progress.show(job, "Mixing", key="mix")])
        return
    mixed, recording, reference = job.result
    enrolled = _enrolment(reference, networks)
    opened = asked().heard.setdefault(recording.sha256, Opened(recording.sha256, recording.name))
    found = Desk(opened, recording, quality_of(recording))
    work = verifying(recording, enrolled, networks)
    work.wait(0.5)
    if work.result is None:
        if work.ended:
            st.error(work.reason)
        else:
            found.places.append(progress.show(work, "Listening", key="lesson"))
        speaker_panels.player(recording, opened, lanes=_truth(mixed))
    else:
        _lesson(found, mixed, work.result, networks)
    found.finish()


def _choices() -> Lesson | None:
    known = {e["id"]: e["title"] for e in cache.examples() if e["id"] in VOICES}
    if len(known) < 2:
        st.info("The bundled voices are missing, so there is nothing to mix.")
        return None
    now = asked().lesson
    left, middle, right = st.columns([3, 3, 4], gap="medium")
    now.target = left.selectbox("Enrolled voice", list(known), index=_place(known, now.target), key="lesson-target",
                                format_func=lambda i: f"{known[i]} ({i})")
    others = [i for i in known if i != now.target]
    now.other = middle.selectbox("The other voice", others, index=_place(others, now.other), key="lesson-other",
                                 format_func=lambda i: f"{known[i]} ({i})")
    now.how = right.segmented_control("They speak", [TURNS, OVERLAP], default=now.how, key="lesson-how", required=True)
    left, right = st.columns(2, gap="large")
    now.share = left.slider("Share of the other voice", 0, 80, round(100 * now.share), step=10, format="%d %%",
                            key="lesson-share") / 100
    now.snr_db = right.slider("Enrolled voice over the other", -5, 20, now.snr_db, step=5, format="%d dB",
                              key="lesson-snr")
    return now


def _place(names: Any, wanted: str) -> int:
    return list(names).index(wanted) if wanted in names else 0


def _enrolment(reference: Any, networks: Any) -> Any:
    from core.speaker.enrol import enrol

    return cache.figure("lesson enrolment", (reference.sha256, networks.sha256), lambda: enrol([reference], networks))


def _truth(mixed: Any) -> list[dict]:
    hop = HOP / 16_000
    return [steps_lane("truth", "Truth: the enrolled voice speaks", mixed.target, hop_s=hop, start_s=0.0,
                       note="known from the mixing"),
            steps_lane("truth-other", "Truth: the other voice speaks", mixed.other, hop_s=hop, start_s=0.0)]


def _lesson(found: Desk, mixed: Any, v: Verification, networks: Any) -> None:
    kept_out = len(mixed.enrolment) / 16_000
    st.caption(f"Enrolled from the first {kept_out:.1f} s of the voice, which aren't in the mixture.")
    at = speaker_panels.threshold(v)
    known = agreement(v.gamma.values, mixed, at)
    st.markdown(f"##### {_words(known, at)}")
    speaker_panels.answer(v, verdict(v, networks, at))
    speaker_panels.on_player(found, v, at, extra=_truth(mixed))
    speaker_panels.curve(found, v, networks, at)
    speaker_panels.likeness(v, verdict(v, networks, at))
    speaker_panels.contested_frames(found, v)


def _words(known: dict[str, float | None], at: float) -> str:
    def share(name: str) -> str:
        return "–" if known[name] is None else f"{known[name]:.0%}"

    auc = ("" if known["auc"] is None else
           f" Whatever the threshold, the gate ranks them right in {known['auc']:.0%} of pairs.")
    return (f"At {at:.2f} the gate keeps {share('target kept')} of the enrolled voice's frames and rejects "
            f"{share('other rejected')} of the other's.{auc}")


def error_curves(networks: Any) -> None:
    """How often each way of choosing frames is wrong, from the shipped card."""
    st.subheader("How often this is wrong")
    curves = share_curves(networks.cards)
    if not curves:
        st.caption("The shipped card has no error rates against the share of other speakers, so none are shown.")
        return
    figure = drawn.share_curves(curves, provenance=f"speaker networks {networks.sha256[:8]} · svvad-tiny card")
    rows = [{"method": drawn.NAMES.get(name, name), "share of others, %": round(100 * s), "EER, %": round(100 * e, 2),
             "low": round(100 * lo, 2), "high": round(100 * hi, 2)}
            for name, r in curves.items() for s, e, lo, hi in r]
    widgets.chart(figure, "share-curves", table=rows, paper=speaker_panels.PAPER, about=(
        "equal error rate of verification on held-out speakers when a share of the recording is spoken by others, with "
        "95 % intervals. SVVAD: frames kept at 0.5; gate as weights or on features: nothing is cut, the latter being "
        "the paper's way; true boundaries: the most that a choice of frames can do. The recipe of the trials is in "
        "models/weights/svvad-tiny/card.json.",
        "the mixtures are made by turns, without noise, of read speech and prompts that differ in their channel, too; a "
        "case's recording is likely to be harder."))


__all__ = ["error_curves", "teach"]
