"""Map: where the recording lies among the library's segments, and how far that place can be trusted."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.parts import map_panels, progress, widgets
from pages.parts.desk import Desk, opinion_note, plain_player
from pages.parts.shelf import again, asked, choose_library, library_page, querying


def _page(found: Desk, known: Any) -> None:
    job, warm = querying(found.recording, known), map_panels.warm(known)
    job.wait(0.05)
    if not job.ended or not warm.ended:
        widgets.skeleton("The map will be here.", 640)
        running = job if not job.ended else warm
        found.places.append(progress.show(running, "Placing the recording", key="map"))
        return
    if job.result is None or warm.result is None:
        again(job if job.result is None else warm, "Try again")
        plain_player(found)
        if job.result is not None:
            map_panels.refit(found, known)
        return
    opinion_note(found)
    now, short = asked(found.opened.digest), found.opened.digest[:12]
    left, middle, right = st.columns([2, 2, 3], gap="large", vertical_alignment="bottom")
    kind = left.segmented_control(
        "Picture",
        ["umap", "pca"],
        default="umap",
        key=f"map-kind-{short}",
        required=True,
        format_func={"umap": "UMAP", "pca": "PCA (linear, exact)"}.get,
    )
    layers = list(range(known.geometry.n_layers))
    now.layer = middle.segmented_control(
        "Layer", layers, default=now.layer, key=f"map-layer-{short}", required=True, format_func=lambda i: f"layer {i}"
    )
    colour = right.selectbox(
        "Colour by", list(map_panels.COLOURS), key=f"map-colour-{short}", format_func=map_panels.COLOURS.__getitem__
    )
    map_panels.draw(found, known, warm.result, job.result, kind, now.layer, colour)
    map_panels.refit(found, known)
    choose_library()


library_page("Map", _page)
