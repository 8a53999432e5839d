"""Figures of a detector's worth: DET, Tippett, empirical cross-entropy, reliability, rates by kind, robustness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from core.figures.template import BLUE, GREY, GUTTER, VERMILION, dress, label, legend, new_figure

if TYPE_CHECKING:
    from core.validation_curves import DetPoints, EcePlot, Reliability, Tippett

TEAL = "#009E73"  # the detector that the page is about
ORANGE = "#D98E00"  # a limit that is exceeded
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = {"dash": "- -", "dot": "· · ·", "dashdot": "- ·", "longdash": "— —", "longdashdot": "— ·"}
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
ROW, MOST_ROWS, LONGEST = 23, 80, 40


def det(curves: Sequence[DetPoints], *, provenance: str = "") -> go.Figure:
    """DET curves on normal-deviate axes, the first one as the page's own; the dot is where both errors are equal."""
    from scipy.special import ndtri

    above = 18 * len(curves) if len(curves) > 4 else 0  # px for the names, where they would hide the curves
    figure = new_figure(height=420 + above, provenance=provenance, top=14 + above)
    first = curves[0]
    low = float(np.clip(0.7 / max(first.n), 0.001, 0.02))
    high = 0.6 if max(c.eer for c in curves) < 0.15 else 0.98
    edge = ndtri([low, high])
    figure.add_trace(go.Scatter(x=edge, y=edge, mode="lines", line={"color": GREY, "width": 1, "dash": "dot"},
                                hoverinfo="skip", name="both errors equal"))
    for i, curve in reversed(list(enumerate(curves))):
        line = {"color": TEAL if i == 0 else GREY, "width": 2.6 if i == 0 else 1.6}
        line |= {} if i == 0 else {"dash": DASHES[(i - 1) % len(DASHES)]}
        inside = (curve.far > 0) & (curve.far < 1) & (curve.frr > 0) & (curve.frr < 1)
        far, frr = curve.far[inside], curve.frr[inside]
        figure.add_trace(go.Scatter(
            x=ndtri(far), y=ndtri(frr), mode="lines", name=_safe(curve.name), line=line,
            customdata=np.stack([far, frr], 1),
            hovertemplate=f"{_safe(curve.name)}: false alarms %{{customdata[0]:.1%}}, "
                          "misses %{customdata[1]:.1%}<extra></extra>"))
        mark = "━━" if i == 0 else MARKS[line["dash"]]
        words = f'<span style="color:{line["color"]}"><b>{mark}</b></span> {_safe(curve.name)}: EER {curve.eer:.1%}'
        label(figure, words.replace("%", " %"), 1, 1, paper=True, xanchor="right", yanchor="bottom" if above else "top",
              dx=-6, dy=(above - 14 if above else -4) - 18 * i)
    if 0 < first.eer < 1:
        at = ndtri([first.eer])
        figure.add_trace(go.Scatter(x=at, y=at, mode="markers", name="EER", marker={"color": TEAL, "size": 10},
                                    hovertemplate=f"EER {first.eer:.1%}<extra></extra>"))
    shown = [r for r in RATES if low <= r <= high and (r >= 0.01 or r in (0.001, 0.005))]
    ticks = {"tickvals": ndtri(shown).tolist(), "ticktext": [f"{100 * r:g}" for r in shown], "range": edge.tolist()}
    figure.update_xaxes(title="false alarms: spoofed speech accepted, %", **ticks)
    figure.update_yaxes(title="misses: bona fide speech rejected, %", **ticks)
    return figure


def tippett(curves: Tippett, *, bounds: tuple[float, float] | None = None, provenance: str = "") -> go.Figure:
    """Shares of trials with a log10 LR at or above each value, by class; dashed: the bounds that are reported."""
    figure = new_figure(height=420, provenance=provenance)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    for share, colour, dash, name in ((curves.bonafide, BLUE, "solid", "bona fide"),
                                      (curves.spoof, VERMILION, "dash", "spoof")):
        figure.add_trace(go.Scatter(
            x=curves.llr_log10, y=share, mode="lines", name=name,
            line={"color": colour, "width": 2.4, "dash": dash, "shape": "vh"},
            hovertemplate=f"{name}: %{{y:.1%}} have log10 LR ≥ %{{x:.2f}}<extra></extra>"))
    for bound in bounds or ():
        figure.add_vline(x=bound, line={"color": GREY, "width": 1.3, "dash": "dash"})
        left = bound < 0  # where the curves leave room: below on the left, above on the right
        anchors = {"xanchor": "left", "yanchor": "bottom"} if left else {"xanchor": "right", "yanchor": "top"}
        label(figure, f"bound {bound:.2f}".replace("-", "−"), bound, 0 if left else 1, dx=4 if left else -4,
              dy=3 if left else -3, size=11, **anchors)
    legend(figure, [("━━", f"bona fide ({_share(curves.misleading_bonafide)} below 0)", BLUE),
                    ("- -", f"spoof ({_share(curves.misleading_spoof)} above 0)", VERMILION)])
    reach = 1.06 * max(0.5, float(np.abs(curves.llr_log10).max()), *(abs(b) for b in bounds or (0.0,)))
    figure.update_xaxes(title="log10 LR  (bona fide over spoof)", range=[-reach, reach])
    figure.update_yaxes(title="share of trials at or above", tickformat=".0%", range=[0, 1.01])
    return figure


def ece(plot: EcePlot, *, provenance: str = "") -> go.Figure:
    """Empirical cross-entropy over the prior odds: the stated LRs, the best recalibration in hindsight, and LR = 1."""
    figure = new_figure(height=420, provenance=provenance)
    for values, colour, dash, width, name in ((plot.neutral, GREY, "dot", 1.8, "LR = 1, no evidence"),
                                              (plot.best, TEAL, "dash", 1.8, "best possible calibration"),
                                              (plot.stated, TEAL, "solid", 2.8, "as stated")):
        figure.add_trace(go.Scatter(
            x=plot.prior_log10_odds, y=values, mode="lines", name=name,
            line={"color": colour, "width": width, "dash": dash},
            hovertemplate=f"{name}: %{{y:.3f}} bits at prior log10 odds %{{x:.2f}}<extra></extra>"))
    middle = int(np.argmin(np.abs(plot.prior_log10_odds)))
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    label(figure, f"at prior odds 1:<br>Cllr {plot.stated[middle]:.3f}", 1, 1, paper=True, xanchor="right", yanchor="top",
          dx=-6, dy=-6)
    legend(figure, [("━━", "as stated", TEAL), ("- -", "best calibration in hindsight", TEAL), ("· · ·", "LR = 1", GREY)])
    figure.update_xaxes(title="prior log10 odds  (bona fide : spoof)")
    figure.update_yaxes(title="empirical cross-entropy, bits", range=[0, 1.05 * max(1.0, float(np.max(plot.stated)))])
    return figure


def reliability(line: Reliability, *, provenance: str = "") -> go.Figure:
    """Stated against borne-out probability with its band; below, how often each probability is stated."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.06)
    dress(figure, height=420, provenance=provenance)
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", hoverinfo="skip",
                                line={"color": GREY, "width": 1.4, "dash": "dot"}), row=1, col=1)
    figure.add_trace(go.Scatter(x=[*line.stated, *line.stated[::-1]], y=[*line.high, *line.low[::-1]], fill="toself",
                                mode="lines", line={"width": 0}, fillcolor="rgba(0,158,115,0.22)", hoverinfo="skip",
                                name="95 % band"), row=1, col=1)
    figure.add_trace(go.Scatter(x=line.stated, y=line.observed, mode="lines", name="borne out",
                                line={"color": TEAL, "width": 2.6},
                                hovertemplate="stated %{x:.0%}, borne out %{y:.0%}<extra></extra>"), row=1, col=1)
    centres = (line.edges[:-1] + line.edges[1:]) / 2
    for shares, colour, name, shape, shift in ((line.shares_bonafide, BLUE, "bona fide", "", -0.022),
                                               (line.shares_spoof, VERMILION, "spoof", "/", 0.022)):
        pattern = {"shape": shape, "fillmode": "overlay", "fgcolor": "white", "size": 5}
        figure.add_trace(go.Bar(x=centres + shift, y=shares, width=0.042, name=name,
                                marker={"color": colour, "line": {"width": 0}, "pattern": pattern},
                                hovertemplate=f"%{{y:.1%}} of {name} trials<extra></extra>"), row=2, col=1)
    legend(figure, [("━━", "borne out, 95 % band", TEAL), ("· · ·", "perfect", GREY), ("■", "bona fide", BLUE),
                    ("▨", "spoof", VERMILION)])
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_xaxes(title="stated probability of bona fide at even prior odds", row=2, col=1)
    figure.update_yaxes(title="borne out", tickformat=".0%", range=[0, 1], row=1, col=1)
    figure.update_yaxes(title="trials", tickformat=".0%", nticks=3, row=2, col=1)
    return figure


def rates(rows: Sequence[tuple[str, float, float, float, bool]], *, pooled: float | None = None,
          provenance: str = "") -> go.Figure:
    """EER of each kind with its interval, one line each, in the order given; hollow where there are few trials.

    rows : (name, EER, low, high, few trials); at most ``MOST_ROWS`` are drawn
    """
    shown = list(rows)[:MOST_ROWS]
    figure = new_figure(height=96 + ROW * max(2, len(shown)), provenance=provenance)
    names = _names(r[0] for r in shown)
    for few in (False, True):
        picked = [i for i, r in enumerate(shown) if r[4] is few]
        if picked:
            _whiskers(figure, [names[i] for i in picked], [shown[i][1:4] for i in picked], TEAL,
                      "circle-open" if few else "circle", "few trials" if few else "")
    _rate_axis(figure, names, [r[3] for r in shown], pooled)
    marks = [("●", "EER, 95 % interval", TEAL), ("○", "few trials", TEAL)]
    legend(figure, marks + ([] if pooled is None else [("│", f"pooled {_share(pooled)}", GREY)]))
    return figure


def robustness(rows: Sequence[tuple[str, float | None, float, float, float, str]], *, clean: float | None = None,
               provenance: str = "") -> go.Figure:
    """EER under each condition, its verdict by shape and colour; lines at the clean rate and a third above it.

    rows : (condition, EER or None, low, high, share abstained, verdict)
    """
    shown = list(rows)[:MOST_ROWS]
    figure = new_figure(height=96 + ROW * max(2, len(shown)), provenance=provenance)
    names = _names(r[0] for r in shown)
    looks = {"within a third": (TEAL, "circle"), "exceeds": (ORANGE, "x"), "abstains": (GREY, "square")}
    for verdict, (colour, symbol) in looks.items():
        picked = [i for i, r in enumerate(shown) if r[5] == verdict and r[1] is not None]
        if picked:
            _whiskers(figure, [names[i] for i in picked], [shown[i][1:4] for i in picked], colour, symbol, verdict)
    for name, row in zip(names, shown, strict=True):
        if row[1] is None:
            words = f"■ {row[5]}, on {row[4]:.0%} of the clips".replace("%", " %")
            label(figure, words, 0, name, dx=6, colour=GREY)
    _rate_axis(figure, names, [r[3] for r in shown if r[1] is not None], clean)
    marks = [("●", "within a third", TEAL), ("✕", "exceeds", ORANGE), ("■", "abstains", GREY)]
    if clean:
        figure.add_vline(x=4 / 3 * clean, line={"color": ORANGE, "width": 1.3, "dash": "dash"})
        marks += [("│", f"clean {_share(clean)}", GREY), ("¦", "a third more", ORANGE)]
    legend(figure, marks)
    return figure


def _whiskers(figure: go.Figure, names: list[str], values: list[tuple], colour: str, symbol: str, words: str) -> None:
    value, low, high = (np.array([v[i] for v in values], dtype=float) for i in range(3))
    figure.add_trace(go.Scatter(
        x=value, y=names, mode="markers", name=words or "EER", customdata=np.stack([low, high], 1),
        marker={"size": 10, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
        error_x={"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low, "color": colour,
                 "thickness": 1.6, "width": 4},
        hovertemplate="%{y}: EER %{x:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}]"
                      + (f", {words}" if words else "") + "<extra></extra>"))


def _rate_axis(figure: go.Figure, names: list[str], highs: list[float], line: float | None) -> None:
    reach = max([0.1, *(h for h in highs if np.isfinite(h)), 1.4 * (line or 0.0)])
    room = max(GUTTER, 16 + round(6.4 * max(len(n) for n in names))) if names else GUTTER
    figure.update_layout(margin_l=room)
    figure.update_annotations(xshift=-room, selector={"name": "provenance"})
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=False, type="category", dtick=1,
                        range=[-0.7, len(names) - 0.3], tickfont={"size": 12})
    figure.update_xaxes(title="EER", tickformat=".0%", showgrid=True, range=[0, min(1.0, 1.05 * reach)])
    if line is not None:
        figure.add_vline(x=line, line={"color": GREY, "width": 1.5})


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _names(given: Iterable[str]) -> list[str]:
    """Names short enough for an axis, and no two alike: on it, equal names would be one line."""
    found: list[str] = []
    for name in map(_safe, given):
        name = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        while name in found:
            name += "\u200b"
        found.append(name)
    return found


def _safe(name: str) -> str:
    """Words from a file without what plotly would take for markup."""
    return name.replace("&", "+").replace("<", "‹").replace(">", "›").replace("%{", "% {")
