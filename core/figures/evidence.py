"""Figures of the finding: the likelihood-ratio axis, the score over time, the detectors side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.template import BLUE, GREY, VERMILION, label, new_figure, time_axis
from core.spectrum import pool

Band = tuple[float, float, str]  # lowest and highest |log10 LR|, words


def lr_axis(
    llr: float,
    low: float,
    high: float,
    *,
    bounds: tuple[float, float],
    bands: Sequence[Band],
    limit: float | None = None,
    provenance: str = "",
) -> go.Figure:
    """Where the finding lies: log10 LR with its interval, the verbal bands and the bounds of the calibration.

    llr, low, high : log10 likelihood ratio p(E | bona fide) / p(E | spoof) and its interval
    bounds : lowest and highest log10 LR that the calibration data support; what lies beyond is hatched
    bands : verbal scale as (from, to, words) in |log10 LR|, ascending; drawn on both sides
    """
    reach = limit or max(2.6, *(abs(v) * 1.15 for v in (*bounds, llr, low, high)))
    figure = new_figure(height=190, provenance=provenance, top=50, bottom=54)
    _bands(figure, bands, reach)
    for side in (0, 1):
        _unsupported(figure, bounds[side], reach if side else -reach)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    colour, symbol = _look(llr, bands[0][1] if bands else 0.0)
    figure.add_trace(
        go.Scatter(
            x=[llr],
            y=[0.5],
            mode="markers",
            name="log10 LR",
            marker={"size": 17, "color": colour, "symbol": symbol},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - llr],
                "arrayminus": [llr - low],
                "thickness": 3,
                "width": 11,
                "color": colour,
            },
            hovertemplate=f"log10 LR {_minus(llr)}, interval {_minus(low)} to {_minus(high)}<extra></extra>",
        )
    )
    anchor = "center" if abs(llr) < 0.75 * reach else ("right" if llr > 0 else "left")
    label(
        figure,
        f"<b>{_minus(llr)}</b>  [{_minus(low)}, {_minus(high)}]",
        llr,
        0.5,
        dy=25,
        xanchor=anchor,
        size=15,
    )
    label(
        figure,
        f'<span style="color:{VERMILION}">◀</span> supports synthesis or conversion',
        -reach,
        1.0,
        dy=33,
        dx=2,
        size=13,
    )
    label(
        figure,
        f'supports bona fide <span style="color:{BLUE}">▶</span>',
        reach,
        1.0,
        dy=33,
        dx=-2,
        xanchor="right",
        size=13,
    )
    figure.update_xaxes(
        title="log10 LR  (bona fide over spoof)", range=[-reach, reach], dtick=1, showgrid=False
    )
    figure.update_yaxes(range=[0, 1], visible=False, fixedrange=True)
    return figure


def _look(llr: float, neutral: float) -> tuple[str, str]:
    """Colour and shape of a likelihood ratio; within ``neutral`` of zero it supports neither."""
    if abs(llr) < neutral:
        return GREY, "square"
    return (VERMILION, "diamond") if llr < 0 else (BLUE, "circle")


def _minus(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _bands(figure: go.Figure, bands: Sequence[Band], reach: float) -> None:
    """Verbal bands on both sides of zero, fainter towards zero, with their words where there is room."""
    for rank, (first, last, words) in enumerate(bands):
        if first >= reach:
            break
        last = min(last, reach)
        for sign, colour in ((-1, VERMILION), (1, BLUE)):
            x0, x1 = sorted((sign * first, sign * last))
            shade = GREY if words in ("", "inconclusive", "no support") else colour
            figure.add_shape(
                type="rect",
                x0=x0,
                x1=x1,
                y0=0,
                y1=1,
                fillcolor=shade,
                opacity=0.08 + 0.05 * rank,
                line={"width": 0},
                layer="below",
            )
            if (last - first) / reach > 0.12 and words:
                short = words.replace(" support", "").replace("moderately strong", "moderately<br>strong")
                label(figure, short, (x0 + x1) / 2, 0, xanchor="center", yanchor="bottom", size=11, dy=3)


def _unsupported(figure: go.Figure, bound: float, edge: float) -> None:
    """The part of the axis that the calibration data can't support, hatched, and the bound itself."""
    figure.add_vline(x=bound, line={"color": GREY, "width": 1.5, "dash": "dash"})
    label(figure, f"bound {_minus(bound)}", bound, 1, xanchor="center", yanchor="bottom", size=11, dy=2)
    x0, x1 = sorted((bound, edge))
    figure.add_trace(
        go.Bar(
            x=[(x0 + x1) / 2],
            y=[0.66],
            width=[x1 - x0],
            base=[0.34],
            name="beyond the calibration data",
            opacity=0.55,
            marker={
                "color": "rgba(0,0,0,0)",
                "pattern": {"shape": "/", "fgcolor": GREY, "size": 7, "solidity": 0.18},
                "line": {"width": 0},
            },
            hovertemplate="beyond what the calibration data support<extra></extra>",
        )
    )


def score_over_time(
    times_s: np.ndarray,
    scores: np.ndarray,
    *,
    duration_s: float,
    regions: Sequence[tuple[float, float, str]] = (),
    unit: str = "",
    provenance: str = "",
) -> go.Figure:
    """Frame scores, above zero towards bona fide, below towards spoof, with the marked regions.

    times_s, scores : np.ndarray [shape=(T,)];  regions : (start_s, stop_s, kind) with kind "spoof" or
    "bonafide"
    """
    figure = new_figure(height=250, provenance=provenance)
    pooled = pool(scores, max_points=3_000)
    x = times_s[:: pooled.factor][: len(pooled.mean)] + (pooled.factor - 1) / 2 * _hop(times_s)
    for keep, colour, name in ((np.fmax, BLUE, "towards bona fide"), (np.fmin, VERMILION, "towards spoof")):
        pattern = (
            {}
            if colour == BLUE
            else {
                "fillpattern": {
                    "shape": "/",
                    "fgcolor": VERMILION,
                    "size": 6,
                    "solidity": 0.35,
                    "fillmode": "overlay",
                }
            }
        )
        figure.add_trace(
            go.Scatter(
                x=x,
                y=keep(pooled.mean, 0),
                mode="lines",
                fill="tozeroy",
                name=name,
                line={"color": colour, "width": 1.4},
                opacity=0.9,
                **pattern,
                hovertemplate="%{x:.3f} s, %{y:.2f}<extra></extra>",
            )
        )
    for start, stop, kind in regions:
        colour = VERMILION if kind == "spoof" else BLUE
        figure.add_vrect(
            x0=start,
            x1=stop,
            fillcolor=colour,
            opacity=0.14,
            line={"width": 1, "color": colour},
            layer="below",
        )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    label(figure, "bona fide ↑", 1, 1, paper=True, xanchor="right", yanchor="bottom")
    label(figure, "spoof ↓", 1, 0, paper=True, xanchor="right", yanchor="bottom", dx=-4, dy=3)
    time_axis(figure, duration_s)
    figure.update_xaxes(title="time, m:ss")
    figure.update_yaxes(title=f"score{', ' + unit if unit else ''}")
    return figure


def _hop(times_s: np.ndarray) -> float:
    return float(times_s[1] - times_s[0]) if len(times_s) > 1 else 0.0


def detector_llrs(rows: Sequence[tuple[str, float, float, float]], *, provenance: str = "") -> go.Figure:
    """Each detector's own log10 LR with its interval, one line each.

    rows : (name, log10 LR, low, high)
    """
    figure = new_figure(height=70 + 34 * len(rows), provenance=provenance, top=12)
    for name, llr, low, high in rows:
        colour = VERMILION if llr < 0 else BLUE
        figure.add_trace(
            go.Scatter(
                x=[llr],
                y=[name],
                mode="markers",
                name=name,
                marker={"size": 12, "color": colour, "symbol": "diamond" if llr < 0 else "circle"},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - llr],
                    "arrayminus": [llr - low],
                    "color": colour,
                    "thickness": 2,
                    "width": 7,
                },
                hovertemplate=f"{name}: {_minus(llr)} [{_minus(low)}, {_minus(high)}]<extra></extra>",
            )
        )
    reach = max(2.0, *(abs(v) * 1.1 for _, *values in rows for v in values)) if rows else 2.0
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    figure.update_xaxes(title="log10 LR  (bona fide over spoof)", range=[-reach, reach], dtick=1)
    figure.update_yaxes(automargin=True, autorange="reversed")
    return figure
