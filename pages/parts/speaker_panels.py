"""The panels of the Speaker page: verdict, player lanes, likeness, curve over the threshold, contested frames."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from core.figures import speaker as drawn
from core.segments import Segment
from core.speaker import report
from core.speaker.influence import strongest
from core.speaker.measured import several_words
from core.speaker.several import measured, row_of, voices
from core.speaker.verdict import PROPOSITIONS, Likeness, Verdict, contested, kept_frames, llr_curve, verdict
from core.speaker.verify import THRESHOLDS, Verification
from pages.parts import cache, widgets
from pages.parts.desk import Desk
from pages.parts.player import line_lane, player, steps_lane
from pages.parts.speaker_state import asked
from pages.parts.stretches import stretches

PAPER = "arXiv 2305.19581 (SVVAD)"
VAD_NAMES = {"energy": "Energy VAD", "silero": "Silero VAD"}
SIGNS = {"same": "▲", "different": "▼", "neither": "■", None: "■"}


def provenance(found: Desk, v: Verification) -> str:
    """The line under every figure of this page."""
    return (f"{replace(found, examination=None).provenance} · enrolment {v.enrolment.key[:8]} · speaker networks "
            f"{v.networks_sha256[:8]} · {v.version}")


def key_of(v: Verification) -> tuple:
    """What a figure of a verification depends on."""
    return (v.sha256, v.name, v.enrolment.key, v.device, v.version)


def threshold(v: Verification, place: Any = st) -> float:
    """The movable threshold."""
    now = asked()

    def take() -> None:
        now.threshold = st.session_state["speaker-threshold"]

    st.session_state["speaker-threshold"] = now.threshold
    place.slider("Threshold on the gate: frames at or above it are kept", 0.0, 1.0, step=0.01, key="speaker-threshold",
                 on_change=take, help="Moving it runs no network: every threshold was counted in one pass.")
    return now.threshold


# ---- the answer --------------------------------------------------------------------------------------------


def answer(v: Verification, found: Verdict) -> None:
    """The verdict in a sentence, with its likelihood ratio, or why there is none."""
    if found.abstained or found.kept.llr is None:
        lines = "".join(f'<p>{"" if i else "No verdict: "}{escape(r.message)}. '
                        f'<span class="ew-code">{escape(r.code)}</span></p>'
                        for i, r in enumerate(found.reasons)) or f"<p>{escape(found.sentence)}</p>"
        st.html(f'<div class="ew-sentence" role="status">{lines}</div>')
    else:
        bound = " (at the bound of what the calibration data support)" if found.kept.llr.bounded else ""
        st.html(f'<div class="ew-sentence" role="status"><p>{escape(found.sentence)}</p><div class="ew-figures">'
                f"<b>{SIGNS[found.direction]} log10 LR = {llr_text(found.kept)}</b>{bound} &nbsp;at threshold "
                f"{found.threshold:.2f}; {flip_words(found)}</div></div>")
    st.caption("  \n".join(widgets.plain(words) for words in (*found.notes, *v.advice)))


def flip_words(found: Verdict) -> str:
    """Where the verdict would change sides."""
    if not found.flips:
        return "no threshold changes its sign"
    return "its sign changes at " + ", ".join(f"{t:.2f}" for t in found.flips)


def llr_text(given: Likeness) -> str:
    """``+1.62 [0.90, 2.00]``, or a dash."""
    llr = given.llr
    return "–" if llr is None else f"{widgets.signed(llr.value)} [{widgets.signed(llr.low)}, {widgets.signed(llr.high)}]"


def likeness(v: Verification, found: Verdict) -> None:
    """The table of similarities: kept, rejected, raw, soft gate, speech by other detectors."""
    hide = bool(v.reasons)
    rows = [(name, f"{given.seconds:.1f} s", "–" if given.cosine is None else widgets.signed(given.cosine),
             "–" if hide else llr_text(given))
            for name, given in (("kept frames", found.kept), ("rejected frames", found.rejected),
                                ("soft gate, uncalibrated", found.gated), ("the recording as it is", found.raw))]
    for name, title in VAD_NAMES.items():
        if name in v.by_speech:
            cosine, seconds = v.by_speech[name]
            rows.append((f"speech by {title}", f"{seconds:.1f} s", "–" if cosine is None else widgets.signed(cosine), ""))
        else:
            rows.append((f"speech by {title}", "–", "–", "not installed"))
    widgets.table(("compared with the enrolment", "length", "cosine", "log10 LR and interval"), rows, numeric=(1, 2, 3))
    for words in v.absent.values():
        st.caption(widgets.plain(words))


# ---- on the time axis --------------------------------------------------------------------------------------


def lanes(v: Verification, at: float) -> list[dict]:
    """The player's lanes; only the first two depend on the threshold."""
    fixed = cache.figure("speaker lanes", key_of(v), lambda: _fixed_lanes(v))
    gate = fixed[0] | {"band": [at, 1.0]}
    kept = kept_frames(v, at)
    share = f"{kept.mean():.0%} kept at {at:.2f}" if len(kept) else ""
    return [gate, steps_lane("kept", "Kept at this threshold", kept.astype(np.float32), hop_s=v.gamma.hop_s,
                             start_s=v.gamma.start_s, note=share), *fixed[1:]]


def _fixed_lanes(v: Verification) -> list[dict]:
    hop, start = v.gamma.hop_s, v.gamma.start_s
    made = [line_lane("gamma", "Gate γ: the enrolled voice", v.gamma.values, hop_s=hop, start_s=start, low=-0.03,
                      high=1.03, short="gate", note="shaded: at or above the threshold", colour="purple"),
            line_lane("beta", "Shift β of the features", v.beta.values, hop_s=hop, start_s=start, short="shift",
                      colour="grey")]
    for name, track in v.speech.items():
        made.append(steps_lane(name, VAD_NAMES[name], track.values, hop_s=track.hop_s, start_s=track.start_s,
                               note=f"{v.by_speech[name][1]:.1f} s of anybody's speech"))
    if v.influence is not None:
        made.append(_influence_lane(v))
    return made


def _influence_lane(v: Verification) -> dict:
    from core.timeline import smooth

    pull = 100 * smooth(v.influence.values, 21).astype(np.float32)  # per second of weight
    top = float(np.abs(pull).max(initial=0.0)) or 1.0
    return line_lane("influence", "Attribution: pull on the similarity", pull, hop_s=v.influence.hop_s,
                     start_s=v.influence.start_s, unit="cosine per s", short="pull", colour="grey", low=-1.06 * top,
                     high=1.06 * top, above="towards the enrolled voice ↑", below="away ↓")


def on_player(found: Desk, v: Verification, at: float, extra: Sequence[dict] = ()) -> None:
    """The shared player with this page's lanes; ``extra`` ones come first."""
    player(found.recording, found.opened, lanes=[*extra, *lanes(v, at)])


# ---- the verdict as a function of the threshold ------------------------------------------------------------


def curve(found: Desk, v: Verification, networks: Any, at: float) -> None:
    """Similarity and likelihood ratio against the threshold."""
    llr = None if v.reasons else cache.figure("speaker llr", key_of(v), lambda: llr_curve(v, networks))
    flips = () if llr is None else verdict(v, networks, at).flips
    figure = drawn.verdict_curve(THRESHOLDS, v.curve.kept, v.curve.rejected, v.raw, v.gated, llr, at=at, flips=flips,
                                 provenance=provenance(found, v))
    rows = cache.figure("speaker curve table", (key_of(v), llr is None), lambda: _curve_table(v, llr))
    widgets.chart(figure, "verdict-curve", table=rows, paper=PAPER, about=(
        "for every threshold, how alike the enrolled voice is to the frames at or above it and to those below it, and "
        "what that is worth as a likelihood ratio. A voice that is there gives kept frames more alike than the "
        "recording as a whole, and rejected frames less alike.",
        "a high similarity of a few kept frames isn't strong evidence: frames chosen for their likeness are alike for "
        "other speakers too. A verdict that flips within the range of sensible thresholds rests on that choice."))


def _curve_table(v: Verification, llr: tuple | None) -> dict[str, np.ndarray]:
    columns = {"threshold": THRESHOLDS, "kept, s": v.curve.kept_s, "cosine of kept": v.curve.kept,
               "cosine of rejected": v.curve.rejected}
    if llr is not None:
        columns |= {"log10 LR of kept": llr[0], "low": llr[1], "high": llr[2]}
    return {name: np.round(np.asarray(values, float), 3) for name, values in columns.items()}


# ---- which frames ------------------------------------------------------------------------------------------


def contested_frames(found: Desk, v: Verification) -> None:
    """Stretches whose gate is near one half, and those that pull most on the similarity."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Contested frames")
        st.caption("The gate is between 0.4 and 0.6: listen to these before choosing a threshold.")
        rows = cache.figure("contested", key_of(v), lambda: contested(v))
        stretches(found, rows, key="contested", empty="No stretch of a tenth of a second is contested.")
    with right:
        st.subheader("What pulls on the similarity")
        if v.influence is None:
            st.caption("Attribution to frames is kept for recordings of up to about twenty minutes; cut a part out to "
                       "see it.")
            return
        st.caption("Half seconds of the recording as it is whose weight moves its cosine with the enrolment most, either "
                   "way. The values of all frames sum to zero: they compare with the recording's own average.")
        rows = cache.figure("pulls", key_of(v), lambda: strongest(v.influence, v.duration_s))
        stretches(found, rows, key="pull", empty="No stretch stands out.")


def several(found: Desk, v: Verification) -> None:
    """How many voices, and when the others speak."""
    st.subheader("More than one voice?")
    row = row_of(v.speakers)
    st.markdown({None: "–", True: "✓", False: "!"}[row.passed] + " " + widgets.plain(row.message))
    if v.speakers.limit is not None:
        st.caption(several_words(measured()))
    if v.speakers.several:
        st.caption("Stretches of two seconds whose voice differs from the most frequent one.")
        stretches(found, voices(v.speakers), key="voices", empty="")


def export(found: Desk, v: Verification, networks: Any, at: float, other: Any = None) -> None:
    """Everything as JSON with its provenance, and the command that gives the same. other: the second opinion."""
    tracks = cache.figure("speaker tracks", key_of(v), lambda: json.dumps(
        report.tracks(v), allow_nan=False, separators=(",", ":")))
    told = report.to_dict(v, networks, at, curves=False) | ({} if other is None else {"second_encoder": other.to_dict()})
    rest = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    st.download_button("Download the verification (JSON)", f'{rest[:-2]},\n "tracks": {tracks}\n}}'.encode(),
                       file_name=f"{v.sha256[:12]}.speaker.json", mime="application/json", on_click="ignore")
    st.caption("The same from a terminal, for whole references:")
    files = " ".join(shlex.quote(r.name) for r in v.enrolment.references)
    also = "" if other is None else f" --also {shlex.quote(asked().second.name)}"
    st.code(f"python -m core verify {shlex.quote(found.recording.name)} --enrol {files} --threshold {at:.2f}{also}",
            language="bash")
    with st.expander("What the likelihood ratio compares"):
        st.markdown(f"**Numerator:** {PROPOSITIONS[0]}\n\n**Denominator:** {PROPOSITIONS[1]}\n\nPositive supports the "
                    "same speaker. It is no probability that the speaker is the same: that depends on everything else "
                    "known in the case.")


def segments_of(chosen: Sequence[Segment]) -> str:
    """Their number and length in words."""
    return f"{len(chosen)} stretches, {sum(s.stop_s - s.start_s for s in chosen):.1f} s"
