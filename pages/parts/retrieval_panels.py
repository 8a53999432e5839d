"""Panels about scores that retrieve: before and after, what mattered, the case's own references, which system."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.figures import neighbours as drawn
from core.frames import format_time
from pages.parts import cache, shelf, widgets
from pages.parts.desk import Desk
from pages.parts.neighbour_panels import KIND, PAPER

RECALL = {
    "speaker_at_1": "same speaker first",
    "chance_at_1": "by chance",
    "speaker_at_10": "among ten",
    "chance_at_10": "by chance",
    "noisy_copy_finds_original_first": "original of a copy in noise first",
    "degraded_copy_finds_original_first": "of a degraded copy",
}

# ---- scores ------------------------------------------------------------------------------------------------


def scores(found: Desk, known: Any, query: Any, here: Any) -> list[dict]:
    """RAD and the nearest-neighbour score, as shipped and with everything that was changed here; what mattered."""
    from core.detectors.rad import SAYS_NOTHING, refusals
    from core.library.explain import score

    st.subheader("Scores that retrieve")
    detectors, refused = shelf.detectors(known), refusals(found.recording)
    if not detectors:
        st.markdown("The retrieval detector isn't installed or doesn't fit this library, so there is no score here.")
        return []
    if refused:
        st.info(" ".join(refused))
        return []
    rows, report = [], []
    plain = shelf.view(found.opened.digest, known, plain=True)
    changed = bool(here.references or here.without or here.filter_words)
    for d in detectors:
        before, after = score(d, query, plain), score(d, query, here)
        cells = [d.title, _raw(before), _llr(before)]
        rows.append([*cells, _raw(after), _llr(after), _moved(before, after)] if changed else cells)
        report.append({"as_shipped": before.to_dict(), "as_shown": after.to_dict(), "view": here.quote()["view"]})
    headers = ["detector", "score", "log10 LR and interval"]
    if changed:
        headers = ["detector", "score, library as shipped", "log10 LR", "score with your changes", "log10 LR", "change"]
    widgets.table(headers, rows, numeric=range(1, len(headers)))
    st.caption(
        "Higher supports bona fide. Calibrated on held-out sources with the library as shipped: with references "
        "added or taken out, the LR is what the same calibration says, and its interval doesn't cover that change. "
        "How often these detectors are wrong is below."
    )
    for d in detectors:
        if d.says_nothing:
            st.caption(f"{d.title}: {SAYS_NOTHING[0].lower()}{SAYS_NOTHING[1:]}")
    _mattered(found, detectors[0], query, here)
    return report


def _raw(s: Any) -> str:
    return "–" if s.score is None else f"{s.score:.3f}".replace("-", "−")


def _llr(s: Any) -> str:
    if s.llr is None:
        return s.problem or "–"
    return f"{widgets.signed(s.llr.value)} [{widgets.signed(s.llr.low)}, {widgets.signed(s.llr.high)}]"


def _moved(before: Any, after: Any) -> str:
    return "–" if before.score is None or after.score is None else f"{after.score - before.score:+.3f}".replace("-", "−")


def _mattered(found: Desk, detector: Any, query: Any, here: Any) -> None:
    from core.errors import EarwitnessError
    from core.library.explain import influences

    try:
        rows = cache.figure("influences", (found.key, here.quote()["view"]), lambda: influences(detector, query, here))
    except EarwitnessError:
        return
    import numpy as np

    figure = drawn.influence(
        [i.clip.title for i in rows],
        [i.clip.label for i in rows],
        np.array([i.attention for i in rows]),
        np.array([i.change or 0.0 for i in rows]),
        provenance=found.provenance,
    )
    st.markdown("**Which reference mattered** to RAD")
    widgets.chart(
        figure,
        "influence",
        table=[
            {
                "reference": i.clip.title,
                "clip": i.clip.name,
                "attention": round(i.attention, 4),
                "change without it": None if i.change is None else round(i.change, 4),
            }
            for i in rows
        ],
        about=(
            "left, how much of the pooling over neighbours fell on each clip; right, how the score moves when "
            "that clip alone is taken out and the next one takes its place.",
            "attention is not influence: a clip with a large share may change nothing, because another one "
            "like it follows.",
        ),
        paper=PAPER,
    )


# ---- the case's own references -----------------------------------------------------------------------------


def references(known: Any) -> None:
    """Add recordings whose origin the case has verified; they answer beside the library in this session."""
    st.subheader("The case's own references")
    now = shelf.shelf()
    st.caption(
        "Recordings whose origin has been verified in this case, for example of the claimed speaker. They answer beside "
        "the library, and the scores above show before and after. They stay in this session."
    )
    left, middle, right = st.columns([2, 2, 4], gap="medium", vertical_alignment="top")
    label = left.radio(
        "They are",
        ["bonafide", "spoof"],
        format_func={"bonafide": "bona fide", "spoof": "spoofed"}.get,
        key="reference-label",
    )
    speaker = middle.text_input("Speaker", key="reference-speaker", max_chars=60)
    files = right.file_uploader("Verified recordings", accept_multiple_files=True, key="reference-files")
    fresh = [file for file in files if file.file_id not in now.taken]
    for file in fresh:
        body = file.getvalue()
        digest = cache.digest_of(body)
        shelf.referring(digest, file.name, body, label, speaker.strip(), known)
        now.wanted[file.file_id] = (digest, file.name, label, speaker.strip())
        now.taken.add(file.file_id)
    if fresh:
        st.rerun()
    for words in now.refused.values():
        st.error(widgets.plain(words))
    if now.wanted:
        st.caption(f"{len(now.wanted)} being measured …")
    if now.references:
        widgets.table(
            ("reference", "kind", "speaker", "duration", "sha256"),
            [
                (
                    r.clip.name,
                    KIND[r.clip.bonafide],
                    r.clip.speaker or "not stated",
                    format_time(r.clip.seconds),
                    r.clip.sha256[:12],
                )
                for r in now.references
            ],
        )
        if st.button("Remove these references"):
            now.references.clear()
            st.rerun()


# ---- which system ------------------------------------------------------------------------------------------


def attribution(found: Desk, known: Any, query: Any, here: Any, windows: Any) -> dict | None:
    """Open-set guess at the source system, with "none of these" as an answer."""
    detectors = shelf.detectors(known)
    if not detectors:
        return None
    from core.library.attribute import attribute

    card = detectors[0].card
    st.subheader("If it is spoofed: which known system?")
    guess = attribute(query, here, card["none_of_these"], windows)
    if not guess.candidates:
        st.markdown("The library as filtered holds no system with enough clips to be a candidate.")
        return None
    best = guess.candidates[0]
    if guess.named:
        st.markdown(
            f"**Most like {widgets.plain(best.system)}** ({widgets.plain(best.family)}). Probability that the true "
            f"system is among the known ones: {guess.known:.0%}."
        )
    else:
        st.markdown(
            f"**None of these.** Probability that the true system is among the known ones: {guess.known:.0%}; the "
            f"nearest is {widgets.plain(best.system)}."
        )
    widgets.table(
        ("system", "family", "distance (1: a typical clip of its own)", "clips in the library"),
        [(c.system, c.family, f"{c.distance:.2f}", c.clips) for c in guess.candidates[:6]],
        numeric=(2, 3),
    )
    a = card["attribution"]
    st.caption(
        f"It supposes that the recording is spoofed and is no sign of it. Measured on the library's own clips: macro F1 "
        f"{a['macro_f1']:.2f} over {a['systems']} systems (chance {a['chance_macro_f1']:.2f}); of clips of systems that "
        f"were taken out, {a['unseen_called_none']:.0%} were called none of these, of the others "
        f"{a['seen_called_none']:.0%}. Nearly every system comes from one publisher's page, so channel, speaker and text "
        "of that page count, too."
    )
    return guess.to_dict()


def reliability(found: Desk, known: Any) -> None:
    """How often all this is wrong, from the card."""
    detectors = shelf.detectors(known)
    if not detectors:
        return
    st.subheader("How often this is wrong")
    card = detectors[0].card
    rows = []
    for name, key in (
        ("RAD", "rad"),
        ("the same network without retrieval", "without-retrieval"),
        ("nearest neighbours, no training", "nearest-neighbours"),
    ):
        eer = card["ablations"].get(key, {}).get("eer_pooled")
        if eer:
            rows.append(
                (
                    f"equal error rate, {name}",
                    f"{100 * eer['value']:.1f} %",
                    f"[{100 * eer['low']:.1f}, {100 * eer['high']:.1f}]",
                )
            )
    widgets.table(("measured on sources that no library held", "value", "95 % interval"), rows, numeric=(1, 2))
    phi = card.get("dependence_on_f_infoed", {}).get(detectors[0].name, {}).get("errors_phi")
    if phi is not None:
        st.caption(
            f"RAD's errors go along with the default detector's (correlation {phi:.2f} on clips that neither was trained "
            "on), so the two agreeing is less than two independent opinions. Both retrieval scores are weaker than the "
            "default detector; they are company for it, not a judge over it."
        )
    with st.expander("What each layer finds"):
        recall = card["recall"]
        st.plotly_chart(
            drawn.recall_by_layer(recall["by_layer"], provenance=found.provenance), key="chart-recall", width="stretch"
        )
        widgets.table(
            ("layer", *RECALL.values()),
            [(row["layer"], *(f"{100 * row[name]:.1f} %" for name in RECALL)) for row in recall["by_layer"]],
            numeric=range(1, len(RECALL) + 1),
        )
        st.caption(f"{recall['windows']} windows of {recall['speakers']} speakers; {recall['note']}.")
        layers = [f"layer {row['layer']}" for row in recall["by_layer"]]
        widgets.table(
            ("copy", "windows", *layers),
            [(c["copy"], c["windows"], *(f"{100 * c[layer]:.1f} %" for layer in layers)) for c in recall["copies"]],
            numeric=range(1, len(layers) + 2),
        )
        st.caption(
            "The share of copies whose nearest segment is of their own original, every segment of the corpus being in "
            "the library. White, pink and babble noise lie so many decibels below the speech; codecs ran at one low "
            "rate; degraded is a random chain of rooms, filters, noise and codecs. The map was fitted on other sources."
        )
