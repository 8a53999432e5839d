"""Neighbours: what the recording resembles among known recordings, layer by layer, heard side by side."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from pages.parts import neighbour_panels, progress, retrieval_panels, widgets
from pages.parts.desk import Desk, opinion_note, plain_player
from pages.parts.shelf import FILTERS, again, asked, choose_library, library_page, querying, shelf, take_references, view


def _page(found: Desk, known: Any) -> None:
    job = querying(found.recording, known)
    job.wait(0.05)
    if not job.ended:
        widgets.skeleton("The nearest known recordings will be here.", 200)
        found.places.append(progress.show(job, "Comparing with the library", key="query"))
        plain_player(found)
        return
    if job.result is None:
        again(job, "Compare again")
        plain_player(found)
        return
    running = take_references(known)
    _result(found, known, job.result)
    progress.follow([], jobs=running)


def _result(found: Desk, known: Any, query: Any) -> None:
    from core.library.compare import compare

    now = asked(found.opened.digest)
    place = st.container()
    opinion_note(found)
    neighbour_panels.player_pair(found, known)
    st.subheader("Nearest known recordings")
    _controls(found, known)
    windows = query.within(*found.opened.selection) if found.opened.selection else None
    here = view(found.opened.digest, known)
    comparison = compare(query, here, k=now.k, windows=windows)
    with place:
        st.markdown(f"##### {_answer(comparison)}")
        _notes(found, known, query, windows)
    neighbour_panels.matrix(found, comparison)
    neighbour_panels.cards(found, comparison)
    neighbour_panels.side_by_side(found, query, comparison)
    scores = retrieval_panels.scores(found, known, query, here)
    retrieval_panels.references(known)
    attribution = retrieval_panels.attribution(found, known, query, here, windows)
    retrieval_panels.reliability(found, known)
    _export(found, comparison, scores, attribution)


def _answer(comparison: Any) -> str:
    from core.library.explain import tally

    first = [layer[0] for layer in comparison.layers if layer]
    if not first:
        return "Nothing is left in the library to compare with; take a filter away."
    best = max(first, key=lambda n: n.cosine)
    kind = "bona fide" if best.clip.bonafide else "spoofed"
    clips = {n.clip.sha256: n.clip for layer in comparison.layers for n in layer}
    cosine = f"{best.cosine:.2f}".replace("-", "−")
    return (
        f"Nearest of all: {widgets.plain(best.clip.title)}, {kind} (layer {best.layer}, cosine {cosine}). Among the "
        f"nearest in all layers: {tally(list(clips.values()))}."
    )


def _notes(found: Desk, known: Any, query: Any, windows: Any) -> None:
    snapshot = known.snapshot
    part = "the selected region" if windows is not None else "the whole recording"
    st.caption(
        f"For {part}. Library snapshot {snapshot.id[:12]}: {snapshot.clips} clips, {snapshot.segments} segments. "
        "Resemblance is not origin: the nearest clip may share only a channel, a voice or a sentence."
    )
    if any(clip.sha256 == query.sha256 for clip in known.clips):
        st.info("The library holds these very bytes. They were kept from answering: nothing is its own neighbour.")


# ---- what may answer ---------------------------------------------------------------------------------------


def _controls(found: Desk, known: Any) -> None:
    digest = found.opened.digest
    now, short = asked(digest), digest[:12]
    left, middle, right = st.columns([2, 3, 2], gap="large", vertical_alignment="bottom")
    now.k = left.slider("Neighbours per layer", 1, 20, now.k, key=f"k-{short}")
    layers = list(range(known.geometry.n_layers))
    now.layer = middle.segmented_control(
        "Layer of the cards",
        layers,
        default=now.layer,
        key=f"layer-{short}",
        format_func=lambda i: f"layer {i}",
        required=True,
    )
    speakers = sorted(
        {c.speaker for c in known.clips if c.speaker} | {r.clip.speaker for r in shelf().references if r.clip.speaker}
    )
    now.speaker = right.selectbox(
        "Ring the clips of", ["", *speakers], key=f"speaker-{short}", format_func=lambda s: s or "nobody in particular"
    )
    with st.expander("Filter what may answer" + (" (a filter is on)" if any(now.filters.values()) else "")):
        for column, (name, title) in zip(st.columns(len(FILTERS)), FILTERS.items(), strict=True):
            values = sorted({getattr(c, name) for c in known.clips if getattr(c, name)})
            now.filters[name] = tuple(column.multiselect(title, values, key=f"filter-{name}-{short}", placeholder="all"))
        st.caption("Filters act on the neighbours and on the two scores below. The case's own references always answer.")
    _taken_out(known, now, short)


def _taken_out(known: Any, now: Any, short: str) -> None:
    if not now.without:
        return
    names = {c.sha256: f"{c.title} · {c.name}" for c in [*known.clips, *(r.clip for r in shelf().references)]}
    words, button = st.columns([6, 1], vertical_alignment="center")
    words.caption(f"Taken out by you: {'; '.join(sorted(widgets.plain(names.get(d, d[:12])) for d in now.without))}.")
    if button.button("Put all back", key=f"restore-{short}", width="stretch"):
        now.without.clear()
        st.rerun()


def _export(found: Desk, comparison: Any, scores: Any, attribution: Any) -> None:
    report = comparison.to_dict() | {"recording": found.recording.name, "scores": scores, "attribution": attribution}
    body = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False).encode()
    st.download_button(
        "Download the neighbours (JSON)",
        body,
        file_name=f"{found.opened.digest[:12]}.neighbours.json",
        mime="application/json",
        on_click="ignore",
    )
    st.caption(
        f"The same from a terminal: `python -m core library neighbours {widgets.plain(found.recording.name)} --json`, "
        f"for the file with sha256 {found.opened.digest[:12]}."
    )
    choose_library()


library_page("Neighbours", _page)
