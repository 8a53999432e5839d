"""Figures of the frame-entropy page (arXiv 2504.10819): curves, maps, reconstruction, rate against
distortion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.figures.template import GREY, PURPLE, dress, label, legend, new_figure, time_axis
from core.spectrum import pool, pool_map

_SIGNED = [
    [0, "#5E3C99"],
    [0.5, "#F7F7F7"],
    [1, "#1B7837"],
]  # purple to green: no meaning colour, safe to tell apart
_SIGNED_DARK = [[0, "#B39DDB"], [0.5, "#11151C"], [1, "#6FCF8E"]]
_LOUDNESS = [[0, "#FFFFFF"], [1, "#10142A"]]
_LOUDNESS_DARK = [[0, "#11151C"], [1, "#ECEEF3"]]


def entropy_over_time(
    times_s: np.ndarray,
    bits: np.ndarray,
    *,
    band: tuple[float, float] | None,
    duration_s: float,
    runs: Sequence[tuple[float, float]] = (),
    provenance: str = "",
) -> go.Figure:
    """Entropy per frame with the 5-95 % band of bona fide frames and the low-entropy stretches.

    times_s, bits : np.ndarray [shape=(T,)], seconds and bits per frame;  runs : (start_s, stop_s)
    """
    figure = new_figure(height=260, provenance=provenance)
    _reference_band(figure, band)
    _curve(figure, times_s, bits, PURPLE, "H")
    for start, stop in runs:
        figure.add_vrect(
            x0=start, x1=stop, fillcolor=PURPLE, opacity=0.18, line={"width": 1, "color": PURPLE}
        )
    time_axis(figure, duration_s)
    figure.update_xaxes(title="time, m:ss")
    figure.update_yaxes(title="entropy, bits per frame")
    return figure


def _reference_band(figure: go.Figure, band: tuple[float, float] | None, **where: int) -> None:
    if band is None:
        return
    figure.add_hrect(
        y0=band[0], y1=band[1], fillcolor=GREY, opacity=0.22, line={"width": 0}, layer="below", **where
    )
    label(
        figure,
        "5–95 % of bona fide frames",
        1,
        band[1],
        xanchor="right",
        yanchor="top",
        size=11,
        dx=-4,
        dy=-1,
        row=where.get("row"),
        paper=False,
    )
    figure.layout.annotations[-1].xref = "x domain"


def _curve(
    figure: go.Figure,
    times_s: np.ndarray,
    values: np.ndarray,
    colour: str,
    name: str,
    *,
    dash: str = "solid",
    row: int | None = None,
) -> None:
    """A curve of bounded length; what pooling hides is drawn as a band from the least to the greatest
    value.
    """
    pooled = pool(values, max_points=3_000)
    hop = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 0.0
    x = times_s[:: pooled.factor][: len(pooled.mean)] + (pooled.factor - 1) / 2 * hop
    where = {"row": row, "col": 1} if row else {}
    if pooled.low is not None:
        outline = np.concatenate([pooled.high, pooled.low[::-1]])
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([x, x[::-1]]),
                y=outline,
                fill="toself",
                line={"width": 0},
                fillcolor=colour,
                opacity=0.25,
                hoverinfo="skip",
                name=f"{name}, range",
            ),
            **where,
        )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=pooled.mean,
            mode="lines",
            name=name,
            line={"color": colour, "width": 1.7, "dash": dash},
            hovertemplate=f"%{{x:.3f}} s, {name} %{{y:.2f}}<extra></extra>",
        ),
        **where,
    )


def mel_pair(
    mel: np.ndarray,
    reconstruction: np.ndarray,
    *,
    start_s: float,
    hop_s: float,
    dark: bool = False,
    provenance: str = "",
) -> go.Figure:
    """The input's log-mel, what the bottleneck rebuilds of it, and the difference, on one time axis.

    mel, reconstruction : np.ndarray [shape=(T, 80)], log-mel in the encoder's own scale
    """
    shown, factor = pool_map(mel, max_columns=600)
    rebuilt, _ = pool_map(reconstruction, max_columns=600)
    times = start_s + (np.arange(len(shown)) + 0.5) * hop_s * factor
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.075)
    low, high = (float(v) for v in np.percentile(np.concatenate([shown.ravel(), rebuilt.ravel()]), [1, 99]))
    difference = shown - rebuilt
    reach = float(np.percentile(np.abs(difference), 99)) or 1.0
    ink, signed = (_LOUDNESS_DARK, _SIGNED_DARK) if dark else (_LOUDNESS, _SIGNED)
    panels = (
        (shown, ink, low, high, 0.86),
        (rebuilt, ink, low, high, 0.5),
        (difference, signed, -reach, reach, 0.14),
    )
    for row, (values, scale, zmin, zmax, y) in enumerate(panels, 1):
        figure.add_trace(
            go.Heatmap(
                z=values.T.astype(np.float32),
                x=times,
                colorscale=scale,
                zmin=zmin,
                zmax=zmax,
                colorbar={
                    "len": 0.29,
                    "y": y,
                    "thickness": 10,
                    "x": 1.0,
                    "xpad": 4,
                    "tickfont": {"size": 10},
                    "nticks": 4,
                },
                hovertemplate="%{x:.3f} s, band %{y}, %{z:.2f}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    dress(figure, height=470, provenance=provenance, right=56)
    names = (
        "what went in (log-mel)",
        "what the bottleneck rebuilds",
        "difference: green = lost, purple = added",
    )
    for row, name in enumerate(names, 1):
        axis = "y domain" if row == 1 else f"y{row} domain"
        figure.add_annotation(
            text=name,
            xref="paper",
            yref=axis,
            x=0,
            y=1,
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12},
        )
        figure.update_yaxes(
            title="mel band", tickvals=[0, 40, 79], ticktext=["1", "41", "80"], row=row, col=1
        )
    figure.update_xaxes(title="time, s", row=3, col=1)
    return figure


def adapters_effect(
    times_s: np.ndarray, on: np.ndarray, off: np.ndarray, *, duration_s: float, provenance: str = ""
) -> go.Figure:
    """Entropy with the adapters (solid) and without (dotted), and the difference below.

    times_s, on, off : np.ndarray [shape=(T,)], seconds and bits per frame
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, row_heights=[0.6, 0.4])
    _curve(figure, times_s, on, PURPLE, "adapters on", row=1)
    _curve(figure, times_s, off, GREY, "adapters off", dash="dot", row=1)
    _curve(figure, times_s, np.asarray(on) - np.asarray(off), PURPLE, "on − off", row=2)
    dress(figure, height=380, provenance=provenance)
    figure.add_hline(y=0, line={"color": GREY, "width": 1}, row=2, col=1)
    legend(figure, [("—", "adapters on", PURPLE), ("···", "adapters off", GREY)])
    figure.add_annotation(
        text="on − off",
        xref="paper",
        yref="y2 domain",
        x=0,
        y=1,
        yanchor="bottom",
        xanchor="left",
        showarrow=False,
        font={"size": 12},
    )
    figure.update_yaxes(title="bits per frame", automargin=False)
    time_axis(figure, duration_s, most=6)
    figure.update_xaxes(title="time, m:ss", row=2, col=1)
    return figure
