"""The library's map with a recording's path on it. Plain SVG: no graphics card needed, no more points than draw well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.neighbours import LABEL_LOOK, group_looks
from core.figures.template import GREY, YELLOW, legend, new_figure

MOST_MARKS = 4000  # drawn one by one; beyond it a density stands for the rest
BINS = 160


def library_map(
    xy: np.ndarray,
    values: Sequence[str],
    words: Sequence[str],
    rows: np.ndarray,
    *,
    path: np.ndarray,
    path_words: Sequence[str],
    trust: np.ndarray,
    low_trust: float,
    by_label: bool,
    kind: str,
    near: Sequence[int] = (),
    provenance: str = "",
) -> go.Figure:
    """Places of segments xy (n, 2), coloured by ``values`` (n), with the recording's places path (q, 2) in time order.

    rows (n,): what a selected point stands for; trust (q,): hollow marks where it is below ``low_trust``; near: places of
    ``xy`` that are always drawn (the recording's neighbours).
    """
    figure = new_figure(height=640, provenance=provenance, top=46)
    drawn = _chosen(len(xy), near)
    if len(drawn) < len(xy):
        figure.add_trace(_density(xy))
    looks = {k: (c, s) for k, (c, s, _, _) in LABEL_LOOK.items()} if by_label else group_looks(values)
    entries: list[tuple[str, str, str]] = []
    for value, (colour, shape) in looks.items():
        mine = np.array([i for i in drawn if _group(values[i], looks) == value], int)
        if not len(mine):
            continue
        name = {"bonafide": "bona fide", "": "everything else"}.get(value, value) or "not stated"
        entries.append((_MARKS.get(shape, "●"), name[:22], colour))
        figure.add_trace(
            go.Scatter(
                x=xy[mine, 0],
                y=xy[mine, 1],
                mode="markers",
                name=name,
                customdata=rows[mine].tolist(),
                hovertext=[words[i] for i in mine],
                hovertemplate="%{hovertext}<extra></extra>",
                marker={"color": colour, "symbol": shape, "size": 6 if by_label else 7, "opacity": 0.75},
                unselected={"marker": {"opacity": 0.18}},
            )
        )
    _path(figure, path, path_words, trust, low_trust)
    legend(figure, [*entries, ("★", "this recording", "#B8A800")])
    axis = "principal axis {}" if kind == "pca" else "map axis {} (no unit)"
    figure.update_xaxes(title=axis.format(1), showgrid=False)
    figure.update_yaxes(title=axis.format(2), showgrid=False, scaleanchor="x")
    figure.update_layout(dragmode="select")
    return figure


_MARKS = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "triangle-up": "▲",
    "cross": "✚",
    "triangle-down": "▼",
    "hexagon": "⬢",
    "pentagon": "⬟",
    "circle-open": "○",
}


def _group(value: str, looks: dict[str, Any]) -> str:
    return value if value in looks else ""


def _chosen(n: int, near: Sequence[int]) -> np.ndarray:
    """Which points are drawn one by one: all, or evenly spaced ones with the neighbours."""
    if n <= MOST_MARKS:
        return np.arange(n)
    return np.union1d(np.linspace(0, n - 1, MOST_MARKS).astype(int), np.asarray(near, int))


def _density(xy: np.ndarray) -> go.Heatmap:
    counts, x, y = np.histogram2d(xy[:, 0], xy[:, 1], bins=BINS)
    z = np.where(counts > 0, np.log10(1 + counts), np.nan).T
    return go.Heatmap(
        x=(x[:-1] + x[1:]) / 2,
        y=(y[:-1] + y[1:]) / 2,
        z=np.round(z, 2),
        colorscale="Greys",
        showscale=False,
        opacity=0.45,
        hoverinfo="skip",
    )


def _path(figure: go.Figure, path: np.ndarray, words: Sequence[str], trust: np.ndarray, low: float) -> None:
    if not len(path):
        return
    figure.add_trace(
        go.Scatter(
            x=path[:, 0],
            y=path[:, 1],
            mode="lines",
            line={"color": GREY, "width": 1.6, "dash": "dot"},
            hoverinfo="skip",
            name="path",
        )
    )
    symbols = ["star" if t >= low else "star-open" for t in trust]
    figure.add_trace(
        go.Scatter(
            x=path[:, 0],
            y=path[:, 1],
            mode="markers+text",
            name="this recording",
            hovertext=list(words),
            hovertemplate="%{hovertext}<extra></extra>",
            customdata=[-1] * len(path),
            text=[str(i + 1) for i in range(len(path))] if len(path) <= 40 else None,
            textposition=[("bottom center", "top center")[i % 2] for i in range(len(path))],  # neighbours in time apart
            marker={"symbol": symbols, "size": 17, "color": YELLOW, "line": {"color": "#000000", "width": 1.6}},
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    )
