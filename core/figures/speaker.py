"""Figures of the speaker page: the verdict as a function of the threshold, and error against the share of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.template import GREY, YELLOW, dress, label, legend, new_figure

KEPT, REJECTED = "#009E73", "#E69F00"  # bluish green and orange (Okabe and Ito 2008); line styles say it again
SOFT = "#8E6BC8"
_LOOKS = {"raw": (GREY, "dot", "circle-open"), "energy": ("#56B4E9", "dash", "square-open"),
          "silero": ("#CC79A7", "dashdot", "diamond-open"), "svvad": (KEPT, "solid", "circle"),
          "weighted": (SOFT, "longdash", "x"), "film": ("#D55E00", "5px,2px", "triangle-up-open"),
          "known": ("#0072B2", "longdashdot", "star")}
NAMES = {"raw": "as recorded", "energy": "energy VAD", "silero": "Silero VAD", "svvad": "SVVAD",
         "weighted": "gate as weights", "film": "gate on features", "known": "true boundaries"}


def verdict_curve(thresholds: np.ndarray, kept: np.ndarray, rejected: np.ndarray, raw: float, gated: float,
                  llr: tuple[np.ndarray, np.ndarray, np.ndarray] | None, *, at: float, flips: Sequence[float] = (),
                  provenance: str = "") -> go.Figure:
    """Similarity of kept and rejected frames, and the LLR of the kept ones, against the threshold.

    thresholds, kept, rejected : np.ndarray [shape=(101,)], NaN where there is nothing; llr : (value, low, high), each
    [101], or None; at : the threshold in force; flips : thresholds where the LLR changes its sign.
    """
    from plotly.subplots import make_subplots

    rows = 1 if llr is None else 2
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    for name, values, colour, dash in (("kept", kept, KEPT, "solid"), ("rejected", rejected, REJECTED, "dash")):
        figure.add_trace(go.Scatter(x=thresholds, y=values, mode="lines", name=name, connectgaps=False,
                                    line={"color": colour, "dash": dash, "width": 2.4},
                                    hovertemplate=f"{name}, threshold %{{x:.2f}}: %{{y:.3f}}<extra></extra>"),
                         row=1, col=1)
    for name, value, colour, dash in (("as recorded", raw, GREY, "dot"), ("soft gate", gated, SOFT, "dashdot")):
        figure.add_trace(go.Scatter(x=[0, 1], y=[value, value], mode="lines", name=name,
                                    line={"color": colour, "dash": dash, "width": 1.8},
                                    hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>"), row=1, col=1)
    if llr is not None:
        _llr(figure, thresholds, *llr)
    dress(figure, height=300 if llr is None else 440, provenance=provenance)
    for row in range(1, rows + 1):
        figure.add_vline(x=at, line={"color": YELLOW, "width": 5}, opacity=0.75, row=row, col=1)
        figure.add_vline(x=at, line={"color": "#6B6200", "width": 1, "dash": "dash"}, row=row, col=1)
    for flip in flips:
        figure.add_vline(x=flip, line={"color": GREY, "width": 1.5, "dash": "dot"}, row=rows, col=1)
        label(figure, f"flips at {flip:.2f}", flip, float(np.nanmax(llr[2])) if llr else 0.0, row=rows, dx=4, size=11)
    figure.update_xaxes(range=[0, 1], title="threshold on the gate", row=rows, col=1)
    figure.update_yaxes(title="cosine", row=1, col=1)
    legend(figure, [("—", "kept frames", KEPT), ("- -", "rejected frames", REJECTED), ("···", "as recorded", GREY),
                    ("-·-", "soft gate (SVVAD)", SOFT), ("┆", "your threshold", "#8A7F00")])
    return figure


def _llr(figure: go.Figure, thresholds: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    known = np.isfinite(value)
    x = thresholds[known]
    figure.add_trace(go.Scatter(x=np.concatenate((x, x[::-1])), y=np.concatenate((high[known], low[known][::-1])),
                                fill="toself", fillcolor="rgba(0,158,115,0.18)", line={"width": 0}, hoverinfo="skip",
                                name="interval"), row=2, col=1)
    figure.add_trace(go.Scatter(x=thresholds, y=value, mode="lines", name="log10 LR", connectgaps=False,
                                line={"color": KEPT, "width": 2.4},
                                hovertemplate="threshold %{x:.2f}: log10 LR %{y:.2f}<extra></extra>"), row=2, col=1)
    figure.add_hline(y=0, line={"color": GREY, "width": 1.2}, row=2, col=1)
    figure.update_yaxes(title="log10 LR of the kept", row=2, col=1)


def share_curves(curves: Mapping[str, Sequence[tuple[float, float, float, float]]], *, provenance: str = "") -> go.Figure:
    """Equal error rate against the share of other speakers, with intervals.

    curves : per method (raw, energy, silero, svvad) rows of (share, EER, low, high), all 0..1
    """
    figure = new_figure(height=340, provenance=provenance)
    for i, (name, rows) in enumerate(curves.items()):
        colour, dash, symbol = _LOOKS.get(name, (SOFT, "longdash", "x"))
        share, rate, low, high = (100 * np.array(c, float) for c in zip(*rows, strict=True))
        figure.add_trace(go.Scatter(
            x=share + 0.7 * (i - (len(curves) - 1) / 2), y=rate, mode="lines+markers", name=NAMES.get(name, name),
            line={"color": colour, "dash": dash, "width": 2.2}, marker={"symbol": symbol, "size": 9, "color": colour},
            error_y={"type": "data", "symmetric": False, "array": high - rate, "arrayminus": rate - low, "thickness": 1.4,
                     "width": 4, "color": colour},
            hovertemplate=f"{NAMES.get(name, name)}: %{{y:.1f}} % at %{{x:.0f}} % of others<extra></extra>"))
    marks = {"solid": "—", "dot": "···", "dash": "- -", "dashdot": "-·-", "longdash": "— —", "longdashdot": "—·—",
             "5px,2px": "– –"}
    legend(figure, [(marks[_LOOKS.get(n, (SOFT, "longdash", ""))[1]], NAMES.get(n, n), _LOOKS.get(n, (SOFT,))[0])
                    for n in curves])
    figure.update_xaxes(title="share of other speakers, %")
    figure.update_yaxes(title="equal error rate, %", rangemode="tozero")
    return figure
