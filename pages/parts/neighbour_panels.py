"""The panels of the Neighbours page: A/B player, layer x rank matrix, cards, differences, scores, references, systems."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.figures import neighbours as drawn
from core.frames import format_time
from pages.parts import cache, shelf, widgets
from pages.parts.desk import Desk, plain_player
from pages.parts.player import player
from pages.parts.state import Opened

PAPER = "arXiv 2404.13892 (RAD)"
SIGN = {True: "●", False: "◆"}
KIND = {True: "bona fide", False: "spoofed"}


def known_clip(known: Any, digest: str | None) -> Any:
    """The library's or the case's clip of a digest, or None."""
    every = [*known.clips, *(r.clip for r in shelf.shelf().references)]
    return next((c for c in every if c.sha256 == digest), None) if digest else None


# ---- heard side by side ------------------------------------------------------------------------------------


def player_pair(found: Desk, known: Any) -> None:
    """One player that plays the questioned recording or the chosen reference: A and B in the same place."""
    now = shelf.asked(found.opened.digest)
    clip = known_clip(known, now.chosen)
    job = shelf.neighbour_recording(clip) if clip is not None else None
    if job is None or not job.wait(5.0) or job.result is None:
        plain_player(found)
        if clip is not None and job is not None:
            st.warning(
                f"{widgets.plain(clip.name)}: {job.reason or 'it is still being decoded; look again in a moment.'}"
            )
        return
    key = f"ab-{found.opened.digest[:12]}"
    names = {
        "questioned": f"A · {_short(found.recording.name)}",
        "reference": f"B · {_short(clip.title)} ({_short(clip.name)})",
    }
    st.session_state[key] = now.playing

    def turn() -> None:
        now.playing = st.session_state[key] or now.playing

    st.segmented_control("On the player", list(names), key=key, on_change=turn, format_func=names.get)
    if now.playing == "questioned":
        plain_player(found)
        return
    recording, _ = job.result
    opened = shelf.shelf().heard.setdefault(clip.sha256, Opened(clip.sha256, clip.name))
    player(cache.under_name(recording, clip.name), opened)


def _short(text: str, n: int = 28) -> str:
    return text if len(text) <= n else text[: n - 1] + "…"


# ---- matrix and cards --------------------------------------------------------------------------------------


def matrix(found: Desk, comparison: Any) -> None:
    """Layer by rank, coloured by kind; ringed where the claimed speaker is heard. A click opens the clip."""
    now = shelf.asked(found.opened.digest)
    cells = [
        {
            "layer": n.layer,
            "rank": n.rank,
            "label": n.clip.label,
            "title": n.clip.title,
            "sha256": n.clip.sha256,
            "match": bool(now.speaker) and n.clip.speaker == now.speaker,
            "words": _words(n),
        }
        for layer in comparison.layers
        for n in layer
    ]
    figure = drawn.layer_rank_matrix(
        cells,
        chosen=now.chosen,
        layers=len(comparison.layers),
        k=comparison.k,
        same=f"voice of {now.speaker}" if now.speaker else "",
        provenance=found.provenance,
    )
    from core.figures.template import config

    key = f"chart-matrix-{found.opened.digest[:12]}"

    def chosen() -> None:
        points = st.session_state[key]["selection"]["points"]
        if points:
            choose(found, points[0]["customdata"])

    st.plotly_chart(
        figure,
        key=key,
        width="stretch",
        config=config("earwitness-neighbours"),
        on_select=chosen,
        selection_mode="points",
    )
    left, right = st.columns(2)
    with left.expander("Data behind this figure"):
        st.dataframe([{**n.to_dict()} for layer in comparison.layers for n in layer], hide_index=True, height=260)
    with right:
        widgets.teach(
            "every row is one hidden layer of the frozen encoder; its marks are the known clips whose segments point the "
            "most similar way there. The paper finds that early layers retrieve the same speaker and later ones drift "
            "towards content.",
            "a row of spoofed neighbours is no finding: a bona fide recording over the same channel, or of the same "
            "sentence, has such neighbours, too.",
            paper=PAPER,
        )


def _words(n: Any) -> str:
    plain = "<br>".join(
        part.replace("<", "‹")
        for part in (
            f"layer {n.layer}, rank {n.rank}, cosine {n.cosine:.3f}",
            f"{n.clip.title} ({KIND[n.clip.bonafide]})",
            n.clip.name,
            n.clip.source,
        )
        if part
    )
    return plain


def choose(found: Desk, digest: str) -> None:
    """Open a reference beside the recording."""
    now = shelf.asked(found.opened.digest)
    now.chosen, now.playing = digest, "reference"


def cards(found: Desk, comparison: Any) -> None:
    """The chosen layer's neighbours as cards: who, what, how near, heard where the audio is here."""
    now = shelf.asked(found.opened.digest)
    ranked = comparison.layers[now.layer]
    for first in range(0, len(ranked), 2):
        for column, neighbour in zip(st.columns(2, gap="small"), ranked[first : first + 2], strict=False):
            with column.container(border=True, height="stretch"):
                _card(found, neighbour)


def _card(found: Desk, n: Any) -> None:
    from core.library import audio_path

    clip, now = n.clip, shelf.asked(found.opened.digest)
    said = [
        ("language", clip.language),
        ("family", clip.family if not clip.bonafide else ""),
        ("codec", clip.codec),
        ("spoofed part", clip.partial),
        ("licence", clip.licence),
        ("from", clip.source),
    ]
    facts = " · ".join(f"{name} {widgets.plain(value)}" for name, value in said if value)
    cosine = f"{n.cosine:.3f}".replace("-", "−")
    st.markdown(
        f"**{n.rank} {SIGN[clip.bonafide]} {widgets.plain(clip.title)}** · {KIND[clip.bonafide]} · cosine {cosine}"
    )
    st.caption(f"{widgets.plain(clip.name)}, {format_time(n.start_s)} to {format_time(n.stop_s)} · {facts}")
    place = f"{found.opened.digest[:8]}-{n.layer}-{clip.sha256[:12]}"
    with st.container(horizontal=True, vertical_alignment="center"):
        if audio_path(clip) is not None:
            st.button(
                "Playing" if now.chosen == clip.sha256 else "Play beside",
                key=f"play-{place}",
                on_click=choose,
                args=(found, clip.sha256),
            )
        elif clip.origin.startswith("https://"):
            st.markdown(
                f"Its audio isn't on this machine; it is public at [{widgets.plain(clip.source)}]({_url(clip.origin)})."
            )
        else:
            st.caption(
                "Its audio isn't on this machine"
                + (f"; it came from {widgets.plain(clip.source)}." if clip.source else ".")
            )
        st.button(
            "Take out",
            key=f"out-{place}",
            on_click=now.without.add,
            args=(clip.sha256,),
            help="Keeps this clip from answering; neighbours and scores follow at once.",
        )


def _url(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe=":/%#?&=+")


# ---- differences -------------------------------------------------------------------------------------------


def side_by_side(found: Desk, query: Any, comparison: Any) -> None:
    """Spectra of the recording and of the reference that is open, where its audio is here."""
    now = shelf.asked(found.opened.digest)
    n = next((n for n in comparison.layers[now.layer] if n.clip.sha256 == now.chosen), None) or next(
        (n for layer in comparison.layers for n in layer if n.clip.sha256 == now.chosen), None
    )
    job = shelf.neighbour_recording(n.clip) if n is not None else None
    if job is None or job.result is None:
        return
    from core.library.explain import band_levels, long_term

    window = query.windows[comparison.windows[0]]
    other = job.result[0].samples[int(n.start_s * 16_000) : int(n.stop_s * 16_000)]
    levels, frequencies = band_levels(found.recording.samples[window.start : window.stop])
    theirs, _ = band_levels(other)
    with st.expander(f"Spectra of the questioned recording and of {widgets.plain(n.clip.name)}", expanded=True):
        a, b = long_term(levels), long_term(theirs)
        widgets.chart(
            drawn.spectra(frequencies, a, b, name=n.clip.title, provenance=found.provenance),
            "spectra",
            table={"frequency, Hz": frequencies, "questioned, dB": a.round(2), "reference, dB": b.round(2)},
            about=(
                "mean spectra of the louder half of both stretches, each about its own mean: band limits, "
                "hum and equalisation show here.",
                "differences of a few dB are ordinary between any two sentences of one speaker.",
            ),
            paper=PAPER,
        )
        figure = drawn.spectrogram_difference(levels, theirs, frequencies, hop_s=0.02, provenance=found.provenance)
        widgets.chart(
            figure,
            "spectrogram-difference",
            about=(
                "the first window of the recording and the reference's best segment, from their starts on, and "
                "their difference.",
                "unless both say the same words at the same pace, most of the difference is the words.",
            ),
            paper=PAPER,
        )
