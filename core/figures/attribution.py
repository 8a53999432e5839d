"""Figures of the attribution page: the map over its spectrogram, profiles, removal curves, agreement of methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.template import BLUE, GREY, VERMILION, dress, label, legend, new_figure
from core.spectrum import pool_map

_INK = [[0, "#FFFFFF"], [1, "#3C4250"]]
_INK_DARK = [[0, "#11151C"], [1, "#8C93A3"]]
_SIGNED = [[0, "rgba(213,94,0,0.95)"], [0.5, "rgba(213,94,0,0)"], [0.5, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.95)"]]
_SIGNED_DARK = [[0, "rgba(255,140,60,0.95)"], [0.5, "rgba(255,140,60,0)"], [0.5, "rgba(70,170,235,0)"],
                [1, "rgba(70,170,235,0.95)"]]
_SIZE = [[0, "rgba(94,60,153,0)"], [1, "rgba(94,60,153,0.95)"]]
_SIZE_DARK = [[0, "rgba(190,160,245,0)"], [1, "rgba(190,160,245,0.95)"]]
MARKED = 10  # strongest cells each way that carry a triangle


def attribution_map(values: np.ndarray, level: np.ndarray, times_s: np.ndarray, edges_hz: np.ndarray, *,
                    hop_s: float = 0.01, signed: bool = True, spans: Sequence[tuple[float, float]] = (),
                    dark: bool = False, provenance: str = "") -> go.Figure:
    """A map over its spectrogram. values : np.ndarray [shape=(R, C)], cells; level : [shape=(R', C')], finer, C' columns
    of ``hop_s``; times_s : [C]; edges_hz : [R + 1]; spans : marked stretches. Rows are evenly tall."""
    figure = new_figure(height=430, provenance=provenance)
    low, high = (float(v) for v in np.percentile(level, [5, 99.5]))
    fine, factor = pool_map(level.T, max_columns=600)  # (C', R')
    tall = len(values) / level.shape[0]
    first = times_s[0] - (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else times_s[0] - 0.025
    figure.add_trace(go.Heatmap(z=fine.T.astype(np.float32), x0=first + factor * hop_s / 2, dx=factor * hop_s,
                                y0=tall / 2 - 0.5, dy=tall, colorscale=_INK_DARK if dark else _INK, zmin=low,
                                zmax=max(high, low + 1e-6), showscale=False, hoverinfo="skip", name="spectrogram"))
    shown = values if signed else np.abs(values)
    reach = float(np.percentile(np.abs(values), 99.5)) or 1e-12
    scale = (_SIGNED_DARK if dark else _SIGNED) if signed else (_SIZE_DARK if dark else _SIZE)
    centres = (edges_hz[:-1] + edges_hz[1:]) / 2
    figure.add_trace(go.Heatmap(
        z=shown.astype(np.float32), x=times_s, colorscale=scale, zmin=-reach if signed else 0.0, zmax=reach,
        showscale=False, name="attribution", customdata=np.broadcast_to(centres[:, None], values.shape),
        hovertemplate="%{x:.2f} s, %{customdata:.0f} Hz: %{z:.4f}<extra></extra>"))
    if signed:
        _triangles(figure, values, times_s, dark)
    for start, stop in spans:
        for edge in (start, stop):
            figure.add_vline(x=edge, line={"color": GREY, "width": 1.5, "dash": "dash"})
    _axes(figure, times_s, edges_hz)
    blue, red = ("#46AAEB", "#FF8C3C") if dark else (BLUE, VERMILION)
    if signed:
        legend(figure, [("▲", "towards bona fide", blue), ("▼", "towards spoof", red), ("■", "spectrogram", GREY)])
    else:
        legend(figure, [("■", "how much, either way", _SIZE_DARK[1][1] if dark else "#5E3C99"),
                        ("■", "spectrogram", GREY)])
    figure.update_layout(dragmode="select", selectdirection="any")
    return figure


def _triangles(figure: go.Figure, values: np.ndarray, times_s: np.ndarray, dark: bool) -> None:
    """Triangles up and down on the strongest cells, so that colour isn't the only sign."""
    for sign, symbol, colour in ((1, "triangle-up", "#0072B2"), (-1, "triangle-down", "#D55E00")):
        order = np.argsort(-sign * values, axis=None)[:MARKED]
        rows, columns = np.unravel_index(order, values.shape)
        keep = sign * values[rows, columns] > 0
        figure.add_trace(go.Scatter(
            x=times_s[columns[keep]], y=rows[keep], mode="markers", hoverinfo="skip",
            name="towards bona fide" if sign > 0 else "towards spoof",
            marker={"symbol": symbol, "size": 8, "color": colour,
                    "line": {"width": 1, "color": "#FFFFFF" if not dark else "#11151C"}}))


def _axes(figure: go.Figure, times_s: np.ndarray, edges_hz: np.ndarray) -> None:
    n = len(edges_hz) - 1
    half = (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else 0.05
    figure.update_xaxes(title="time, s", range=[times_s[0] - half, times_s[-1] + half])
    wanted = [hz for hz in (250, 500, 1_000, 2_000, 4_000, 7_000) if hz < edges_hz[-1]] if n > 1 else []
    places = np.interp(wanted, edges_hz, np.arange(n + 1) - 0.5) if n > 1 else []
    figure.update_yaxes(title="frequency, Hz", tickvals=list(places), ticktext=[f"{hz:g}" for hz in wanted],
                        range=[-0.5, n - 0.5])


def attribution_profiles(values: np.ndarray, edges_hz: np.ndarray, unit: str, *, provenance: str = "") -> go.Figure:
    """Signed sums over time of every row as bars. values : np.ndarray [shape=(R, C)]; edges_hz : [R + 1]."""
    figure = new_figure(height=300, provenance=provenance)
    sums = values.sum(1)
    for sign, name, colour, pattern in ((1, "towards bona fide", BLUE, ""), (-1, "towards spoof", VERMILION, "/")):
        shown = np.where(sign * sums > 0, sums, 0.0)
        figure.add_trace(go.Bar(y=np.arange(len(sums)), x=shown, orientation="h", name=name,
                                marker={"color": colour, "pattern": {"shape": pattern}},
                                hovertemplate="%{x:.4f}<extra></extra>"))
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    n = len(sums)
    wanted = [250, 500, 1_000, 2_000, 4_000, 7_000]
    figure.update_yaxes(title="frequency, Hz", range=[-0.5, n - 0.5], ticktext=[f"{hz:g}" for hz in wanted],
                        tickvals=list(np.interp(wanted, edges_hz, np.arange(n + 1) - 0.5)))
    figure.update_xaxes(title=f"sum over time, {unit}")
    legend(figure, [("■", "towards bona fide", BLUE), ("▨", "towards spoof", VERMILION)])
    return figure


def removal_curves(shares: np.ndarray, curves: Sequence[tuple[str, np.ndarray, np.ndarray]], unit: str, *,
                   provenance: str = "") -> go.Figure:
    """Score while cells are removed (left) and put back (right). curves : (name, deletion, insertion), each [n]; names
    starting with "map", "loudest", "quietest" or "random"."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    looks = {"map": ("#8E6BC8", "solid", 2.4), "random": (GREY, "dot", 1.3),
             "loudest": (VERMILION, "dash", 1.8), "quietest": (VERMILION, "dash", 1.8)}
    for name, deletion, insertion in curves:
        colour, dash, width = looks[name.split()[0]]
        for column, values in ((1, deletion), (2, insertion)):
            figure.add_trace(go.Scatter(x=100 * shares, y=values, mode="lines", name=name,
                                        line={"color": colour, "dash": dash, "width": width},
                                        hovertemplate=f"{name}: %{{x:.0f}} %, %{{y:.3f}}<extra></extra>"),
                             row=1, col=column)
    dress(figure, height=300, provenance=provenance)
    by_level = next((n for n, *_ in curves if n.startswith(("loudest", "quietest"))), "loudest first")
    figure.update_xaxes(title="cells removed, %", row=1, col=1)
    figure.update_xaxes(title="cells put back, %", row=1, col=2)
    figure.update_yaxes(title=f"score, {unit}", row=1, col=1)
    legend(figure, [("—", "the map's order", "#8E6BC8"), ("- -", by_level, VERMILION),
                    ("···", "random orders", GREY)])
    return figure


def audition_moves(before: float, after: float, elsewhere: np.ndarray, unit: str, *, provenance: str = "") -> go.Figure:
    """The score before and without a part, and without the same shape elsewhere. elsewhere : np.ndarray [shape=(K,)]."""
    figure = new_figure(height=150, provenance=provenance, top=14)
    figure.add_trace(go.Scatter(x=list(elsewhere), y=[0] * len(elsewhere), mode="markers", name="elsewhere",
                                marker={"symbol": "line-ns-open", "size": 16, "color": GREY, "line": {"width": 2}},
                                hovertemplate="elsewhere: %{x:.3f}<extra></extra>"))
    figure.add_trace(go.Scatter(x=[before], y=[1], mode="markers", name="with",
                                marker={"symbol": "circle", "size": 12, "color": "#8E6BC8"},
                                hovertemplate="as recorded: %{x:.3f}<extra></extra>"))
    figure.add_trace(go.Scatter(x=[after], y=[1], mode="markers", name="without",
                                marker={"symbol": "diamond-open", "size": 13, "color": "#8E6BC8", "line": {"width": 2.5}},
                                hovertemplate="without: %{x:.3f}<extra></extra>"))
    figure.add_annotation(x=after, y=1, ax=before, ay=1, xref="x", yref="y", axref="x", ayref="y", showarrow=True,
                          arrowhead=2, arrowwidth=1.5, arrowcolor="#8E6BC8", text="")
    label(figure, "● as recorded  ◇ without it", 0, 1, paper=True, yanchor="bottom", size=11)
    figure.update_yaxes(tickvals=[0, 1], ticktext=["else-<br>where", "here"], range=[-0.6, 1.6])
    figure.update_xaxes(title=f"score, {unit}")
    return figure
