"""Figures of the complementarity page: matrices between members, the fusion's waterfall, accuracy by number of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.template import BLUE, GREY, VERMILION, label, legend, new_figure

_LIKE = [[0, "rgba(94,60,153,0)"], [1, "rgba(94,60,153,0.55)"]]
_LIKE_DARK = [[0, "rgba(190,160,245,0)"], [1, "rgba(130,95,205,0.95)"]]
_OPPOSED = [[0, "rgba(230,159,0,0.7)"], [0.5, "rgba(94,60,153,0)"], [1, "rgba(94,60,153,0.55)"]]
_OPPOSED_DARK = [[0, "rgba(190,130,0,0.9)"], [0.5, "rgba(130,95,205,0)"], [1, "rgba(130,95,205,0.95)"]]
KINDS = {"members": ("members alone", GREY, "square", "solid"),
         "plain": ("plus plain networks", "#E69F00", "circle", "dash"),
         "acorl": ("plus ACoRL alliances", "#8E6BC8", "diamond", "solid")}


def member_matrix(names: Sequence[str], values: np.ndarray, *, signed: bool = False, dark: bool = False,
                  provenance: str = "") -> go.Figure:
    """How much each pair of members has in common. values : np.ndarray [shape=(M, M)], in 0..1, or -1..1 where
    ``signed``; the number stands in every cell."""
    n = len(names)
    figure = new_figure(height=110 + 36 * n, provenance=provenance, bottom=118, top=10)
    scale = (_OPPOSED_DARK if dark else _OPPOSED) if signed else (_LIKE_DARK if dark else _LIKE)
    figure.add_trace(go.Heatmap(
        z=values, x=list(range(n)), y=list(range(n)), colorscale=scale, zmin=-1.0 if signed else 0.0, zmax=1.0,
        showscale=False, xgap=2, ygap=2, text=[[f"{v:.2f}".replace("-", "−") for v in row] for row in values],
        texttemplate="%{text}", textfont={"size": 11}, name="members",
        customdata=[[f"{a} and {b}" for b in names] for a in names],
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>"))
    figure.update_xaxes(tickvals=list(range(n)), ticktext=list(names), tickangle=-40, showgrid=False, fixedrange=True)
    figure.update_yaxes(tickvals=list(range(n)), ticktext=list(names), autorange="reversed", showgrid=False,
                        fixedrange=True)
    figure.update_layout(margin={"l": 150})
    if provenance:
        figure.update_annotations({"xshift": -150}, selector={"name": "provenance"})
    return figure


def fusion_waterfall(start: float, steps: Sequence[tuple[str, float]], total: float, reported: float,
                     bounds: tuple[float, float], *, provenance: str = "") -> go.Figure:
    """What each member adds to the fused log10 LR. steps : (member, log10); total : their sum with ``start``, unbounded;
    reported : within ``bounds``."""
    names = ["all undecided", *(name for name, _ in steps), "fused"]
    figure = new_figure(height=70 + 40 * len(names), provenance=provenance)
    at = start
    _bar(figure, 0, 0.0, start)
    for place, (_, step) in enumerate(steps, 1):
        figure.add_shape(type="line", x0=at, x1=at, y0=place - 1 + 0.36, y1=place - 0.36,
                         line={"color": GREY, "width": 1, "dash": "dot"})
        _bar(figure, place, at, step)
        at += step
    colour, symbol = (BLUE, "circle") if reported > 0 else (VERMILION, "diamond")
    figure.add_trace(go.Scatter(
        x=[reported], y=[len(names) - 1], mode="markers", name="fused",
        marker={"size": 15, "symbol": symbol, "color": colour}, hovertemplate="fused: %{x:.2f}<extra></extra>"))
    label(figure, f"{reported:+.2f}".replace("-", "−") + ("" if abs(total - reported) < 0.005 else
          f", held at the bound (sum {total:+.2f})".replace("-", "−")), reported, len(names) - 1, dx=14)
    for edge in bounds:
        figure.add_vline(x=edge, line={"color": GREY, "width": 1.2, "dash": "dash"})
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="log10 LR", range=_reach(start, [step for _, step in steps], reported))
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.4, -0.6], fixedrange=True)
    figure.update_layout(margin={"l": 150})
    legend(figure, [("■", "towards bona fide", BLUE), ("▨", "towards spoof", VERMILION), ("┆", "bounds", GREY)])
    return figure


def _reach(start: float, steps: Sequence[float], reported: float) -> list[float]:
    """The stretch of the axis that holds every bar and its number; bounds further out aren't drawn for their own sake."""
    ends = [0.0, reported, *np.cumsum([start, *steps])]
    room = max(0.25, 0.2 * (max(ends) - min(ends)))
    return [min(ends) - room, max(ends) + 1.6 * room]


def _bar(figure: go.Figure, place: int, base: float, step: float) -> None:
    figure.add_trace(go.Bar(
        x=[step], y=[place], base=[base], orientation="h", width=0.66, name="step",
        marker={"color": BLUE if step >= 0 else VERMILION, "pattern": {"shape": "" if step >= 0 else "/"}},
        hovertemplate="adds %{x:+.2f}<extra></extra>"))
    ahead = step >= 0
    label(figure, f"{step:+.2f}".replace("-", "−"), base + step, place, xanchor="left" if ahead else "right",
          dx=5 if ahead else -5, size=11)


def accuracy_by_models(rows: Sequence[Mapping[str, Any]], panel: Mapping[str, float] | None = None, *,
                       provenance: str = "") -> go.Figure:
    """Equal error rate by number of fused models. rows : models, kind (a key of ``KINDS``), eer, low, high (0..1);
    panel : value, low, high of the panel that decides."""
    figure = new_figure(height=330, provenance=provenance)
    last_member = [r for r in rows if r["kind"] == "members"][-1:]
    for kind, (name, colour, symbol, dash) in KINDS.items():
        mine = [r for r in rows if r["kind"] == kind]
        if kind != "members":
            mine = [*last_member, *mine]
        x, y = [r["models"] for r in mine], [100 * r["eer"] for r in mine]
        figure.add_trace(go.Scatter(
            x=x, y=y, mode="lines+markers", name=name, line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 10},
            error_y={"type": "data", "symmetric": False, "array": [100 * (r["high"] - r["eer"]) for r in mine],
                     "arrayminus": [100 * (r["eer"] - r["low"]) for r in mine], "thickness": 1.2, "width": 4},
            hovertemplate=f"%{{x}} models, {name}: %{{y:.1f}} %<extra></extra>"))
    entries = [("■", KINDS["members"][0], GREY), ("●", KINDS["plain"][0], "#E69F00"), ("◆", KINDS["acorl"][0], "#8E6BC8")]
    if panel:
        figure.add_hrect(y0=100 * panel["low"], y1=100 * panel["high"], fillcolor=BLUE, opacity=0.10, line_width=0)
        figure.add_hline(y=100 * panel["value"], line={"color": BLUE, "width": 1.5, "dash": "dot"})
        entries.append(("···", "the panel that gives the finding, with its interval", BLUE))
    legend(figure, entries)
    figure.update_xaxes(title="fused models", dtick=1)
    figure.update_yaxes(title="equal error rate, %", rangemode="normal")
    return figure
