"""Figures of the Neighbours page: which known recordings are near in which layer, and which of them mattered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.figures.template import BLUE, GREY, VERMILION, dress, legend, new_figure

# Okabe and Ito's colours that carry no meaning elsewhere; with them go shapes, because eight is all there are
GROUP_COLOURS = ("#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#7F6BB3", "#8C6D31", "#4D4D4D", "#B2B2B2")
GROUP_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "hexagon", "pentagon")
LABEL_LOOK = {"bonafide": (BLUE, "circle", "●", "bona fide"), "spoof": (VERMILION, "diamond", "◆", "spoof")}


def group_looks(values: Sequence[str], most: int = 7) -> dict[str, tuple[str, str]]:
    """(colour, shape) of the commonest values; everything else shares grey circles under ""."""
    tally: dict[str, int] = {}
    for value in values:
        if value:
            tally[value] = tally.get(value, 0) + 1
    common = sorted(tally, key=lambda v: (-tally[v], v))[:most]
    return {value: (GROUP_COLOURS[i], GROUP_SHAPES[i]) for i, value in enumerate(common)} | {"": (GREY, "circle-open")}


def layer_rank_matrix(
    cells: Sequence[dict[str, Any]],
    *,
    chosen: str | None = None,
    layers: int,
    k: int,
    same: str = "",
    provenance: str = "",
) -> go.Figure:
    """One mark per layer and rank. cells: layer, rank, label, title, words (for the pointer), sha256, match (bool).

    ``match`` marks are ringed; ``same`` says what a ring means. ``chosen``: the digest of the clip that is open.
    """
    figure = new_figure(height=70 + 62 * layers, provenance=provenance)
    for label, (colour, shape, _, name) in LABEL_LOOK.items():
        mine = [c for c in cells if c["label"] == label]
        figure.add_trace(
            go.Scatter(
                x=[c["rank"] for c in mine],
                y=[c["layer"] for c in mine],
                mode="markers+text",
                name=name,
                text=[_cut(c["title"], 12 if k <= 10 else 7) for c in mine],
                textposition="bottom center",
                textfont={"size": 10},
                customdata=[c["sha256"] for c in mine],
                hovertext=[c["words"] for c in mine],
                hovertemplate="%{hovertext}<extra></extra>",
                marker={
                    "color": colour,
                    "symbol": shape,
                    "opacity": 1,
                    "size": [24 if c["sha256"] == chosen else 17 for c in mine],
                    "line": {
                        "color": ["#E69F00" if c["match"] else colour for c in mine],
                        "width": [4 if c["match"] else 0 for c in mine],
                    },
                },
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 1}},
            )
        )
    entries = [("●", "bona fide", BLUE), ("◆", "spoof", VERMILION)]
    legend(figure, [*entries, ("◯", same, "#E69F00")] if same else entries)
    figure.update_xaxes(title="rank, nearest first", range=[0.4, k + 0.6], dtick=1 if k <= 20 else 5)
    figure.update_yaxes(title="layer", range=[layers - 0.25, -0.5], tickvals=list(range(layers)), fixedrange=True)
    return figure


def influence(
    names: Sequence[str], labels: Sequence[str], weights: np.ndarray, changes: np.ndarray, *, provenance: str = ""
) -> go.Figure:
    """Attention that each reference got (left) and how the score moves when it is taken out (right), both [n]."""
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.06)
    dress(figure, height=70 + 26 * max(3, len(names)), provenance=provenance)
    places = list(range(len(names)))
    colours = [LABEL_LOOK[label][0] for label in labels]
    for column, values, form in ((1, weights, "%{x:.0%}"), (2, changes, "%{x:+.3f}")):
        figure.add_trace(
            go.Bar(
                x=values,
                y=places,
                orientation="h",
                marker={"color": colours},
                width=0.66,
                customdata=list(names),
                hovertemplate=f"%{{customdata}}: {form}<extra></extra>",
            ),
            row=1,
            col=column,
        )
    ticks = [f"{LABEL_LOOK[label][2]} {_cut(name, 20)}" for name, label in zip(names, labels, strict=True)]
    figure.update_yaxes(tickvals=places, ticktext=ticks, autorange="reversed")
    figure.update_xaxes(title="attention", tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title="change of the score without it", row=1, col=2)
    figure.update_layout(margin={"l": 170})
    return figure


def spectra(
    frequencies: np.ndarray, query: np.ndarray, other: np.ndarray, *, name: str, provenance: str = ""
) -> go.Figure:
    """Long-term spectra of the questioned recording and of one reference, in dB relative to each one's mean, all [n]."""
    figure = new_figure(height=260, provenance=provenance)
    for values, label, dash, colour in ((query, "questioned", "solid", "#9A8C00"), (other, name, "dash", GREY)):
        figure.add_trace(
            go.Scatter(
                x=frequencies,
                y=values,
                mode="lines",
                name=label,
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{x:.0f} Hz: %{y:.1f} dB<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=frequencies,
            y=query - other,
            mode="lines",
            name="difference",
            fill="tozeroy",
            line={"color": "#7F6BB3", "width": 1},
            fillcolor="rgba(127,107,179,0.25)",
            hovertemplate="%{x:.0f} Hz: %{y:+.1f} dB<extra></extra>",
        )
    )
    legend(figure, [("—", "questioned", "#9A8C00"), ("- -", _cut(name, 24), GREY), ("■", "difference", "#7F6BB3")])
    figure.update_xaxes(title="frequency, Hz")
    figure.update_yaxes(title="level, dB")
    return figure


def spectrogram_difference(
    query: np.ndarray, other: np.ndarray, frequencies: np.ndarray, *, hop_s: float, provenance: str = ""
) -> go.Figure:
    """Spectrograms of both in dB [T, B], one above the other, and their difference; frequencies [B], Hz."""
    n = min(len(query), len(other))
    figure = make_subplots(
        3,
        1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        subplot_titles=("questioned", "reference", "questioned minus reference"),
    )
    dress(figure, height=460, provenance=provenance, right=70)
    panels = ((query[:n], "Greys", None), (other[:n], "Greys", None), (query[:n] - other[:n], "PuOr", 30.0))
    times = np.arange(n) * hop_s
    for row, (values, scale, limit) in enumerate(panels, 1):
        low, high = (-limit, limit) if limit else np.percentile(values, [2, 99.5])
        bar = {"thickness": 9, "len": 0.3, "y": 0.14, "title": {"text": "dB"}} if limit else None
        figure.add_trace(
            go.Heatmap(
                z=np.round(values.T, 1),
                x=times,
                y=frequencies / 1000,
                colorscale=scale,
                zmin=low,
                zmax=high,
                showscale=bool(limit),
                colorbar=bar,
                hovertemplate="%{x:.2f} s, %{y:.1f} kHz: %{z:.0f} dB<extra></extra>",
            ),
            row=row,
            col=1,
        )
        figure.update_yaxes(title="kHz", row=row, col=1)
    figure.update_xaxes(title="time, s", row=3, col=1)
    return figure


def recall_by_layer(rows: Sequence[dict[str, Any]], *, provenance: str = "") -> go.Figure:
    """How often the library finds the same speaker, and the original of a noisy or degraded copy, by layer; chance."""
    figure = new_figure(height=250, provenance=provenance)
    series = (
        ("speaker_at_1", "same speaker first", "#009E73", "circle", "solid"),
        ("speaker_at_10", "same speaker among ten", "#56B4E9", "square", "solid"),
        ("noisy_copy_finds_original_first", "original of a copy in noise (20 dB) first", "#CC79A7", "cross", "solid"),
        ("degraded_copy_finds_original_first", "original of a degraded copy first", "#E69F00", "diamond", "solid"),
        ("chance_at_1", "chance, first", GREY, "x", "dot"),
    )
    for key, name, colour, shape, dash in series:
        figure.add_trace(
            go.Scatter(
                x=[f"layer {r['layer']}" for r in rows],
                y=[r[key] for r in rows],
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                marker={"symbol": shape, "size": 9},
                hovertemplate=f"{name}: %{{y:.1%}}<extra></extra>",
            )
        )
    legend(
        figure,
        [
            ("●", "same speaker first", "#009E73"),
            ("■", "among ten", "#56B4E9"),
            ("✚", "original of a copy in noise", "#CC79A7"),
            ("◆", "of a degraded copy", "#E69F00"),
            ("×", "chance", GREY),
        ],
    )
    figure.update_xaxes(title="hidden layer")
    figure.update_yaxes(title="share found", tickformat=".0%", range=[0, 1.02])
    return figure


def _cut(text: str, n: int) -> str:
    plain = text.replace("<", "‹").replace(">", "›").replace("&", "+")
    return plain if len(plain) <= n else plain[: n - 1] + "…"
