"""Frame entropy: how much the detector's bottleneck keeps of every 20 ms, and where that is unusually
little.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.segments import Segment
from pages.parts import cache, entropy_panels, widgets
from pages.parts.desk import Desk, examined, opinion_note, page, withheld
from pages.parts.player import Span, image_lane, line_lane, pending_lane, player
from pages.parts.stretches import stretches

CAVEAT = (
    "Entropy here is a statistic of the detector's learned posterior, not the physical entropy of the "
    "signal. "
    "Low-entropy stretches are leads for listening, never a verdict."
)


def _waiting(found: Desk) -> None:
    running = found.job is not None and not found.job.ended
    lanes = (
        [pending_lane("entropy", "Frame entropy"), pending_lane("map", "Entropy map", "image")]
        if running
        else []
    )
    player(found.recording, found.opened, lanes=lanes)


def _withheld(found: Desk) -> None:
    """An abstained examination shows no score, and entropy is what the score is made of."""
    withheld(found, "its entropy would be read out of its range and is not shown")


def _result(found: Desk, done: Any) -> None:
    entropy = done.entropy
    detector = cache.loaded(done.model, str(done.device))
    reference = detector.reference
    st.markdown(_answer(entropy, reference))
    st.caption(CAVEAT)
    opinion_note(found)
    _bench(found, entropy, reference)
    stretches(
        found,
        [
            Segment(r.start_s, r.stop_s, "low entropy", r.mean_bits, "bits per frame")
            for r in entropy.low_runs
        ],
        key="leads",
        empty="No stretch of 0.2 s or more lies below the range of bona fide frames.",
    )
    entropy_panels.curve(found, entropy, reference)
    st.subheader("What the bottleneck keeps")
    entropy_panels.reconstruction(found, done, detector)
    entropy_panels.inspector(found, done, detector)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Among the reference clips")
        entropy_panels.rate_distortion(found, entropy, reference)
    with right:
        st.subheader("Among the reference frames")
        entropy_panels.histogram(found, entropy, reference)
    st.subheader("What the adapters do")
    entropy_panels.adapters(found, done, detector)


def _answer(entropy: Any, reference: Any) -> str:
    low, high = (float(v) for v in reference["entropy_band_bits"])
    mean = entropy.mean_bits
    place = "within" if low <= mean <= high else ("below" if mean < low else "above")
    runs = len(entropy.low_runs)
    leads = (
        "no stretch stands out as low"
        if runs == 0
        else (
            "one stretch is low enough to listen to"
            if runs == 1
            else f"{runs} stretches are low enough to listen to"
        )
    )
    band = f"the range of 90 % of bona fide frames ({low:.1f} to {high:.1f})"
    words = f"{mean:.1f} bits per frame on average, {place} {band}"
    return f"##### {words.replace('-', '−')}; {leads}."


def _bench(found: Desk, entropy: Any, reference: Any) -> None:
    track, order = entropy.entropy, reference["dim_order"]
    band = tuple(round(float(v), 3) for v in reference["entropy_band_bits"])

    def lanes() -> list[dict]:
        curve = line_lane(
            "entropy",
            "Frame entropy, bits per frame",
            track.values,
            hop_s=track.hop_s,
            start_s=track.start_s,
            unit="bits",
            short="H",
            band=band,
            colour="purple",
            note="grey band: 5–95 % of bona fide frames" + ("; marked: leads" if entropy.low_runs else ""),
        )
        ordered = entropy.entropy_map[:, order.astype(int)]
        image = image_lane(
            "map",
            "Entropy of each latent dimension",
            ordered,
            hop_s=track.hop_s,
            start_s=track.start_s,
            top_label="most",
            bottom_label="least",
            note="most discriminative dimension on top; further from the background = more bits",
        )
        return [curve, image]

    made = cache.figure("entropy lanes", found.key, lanes)
    spans = [Span(r.start_s, r.stop_s, "lead", "entropy") for r in entropy.low_runs]
    player(found.recording, found.opened, lanes=made, spans=spans, report_click=True)
    widgets.teach(
        "each frame's value says how uncertain the bottleneck leaves its latent code: the paper's "
        "hypothesis is that "
        "bona fide speech carries more information than speech decoded from a synthesiser's code.",
        "a low value is not a sign of synthesis by itself: pauses, hum and coding lower it too, and σ is "
        "learned, so "
        "the number has no meaning outside this model.",
        paper="Zhao et al., arXiv 2504.10819",
    )


page("Frame entropy", examined(_waiting, _withheld, _result))
