"""Figures of the frame-entropy page (arXiv 2504.10819): curves, maps, reconstruction, rate against distortion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.figures.template import BLUE, GREY, PURPLE, VERMILION, label, legend, new_figure, time_axis
from core.spectrum import pool, pool_map

_SIGNED = [[0, "#5E3C99"], [0.5, "#F7F7F7"], [1, "#1B7837"]]     # purple to green: no meaning colour, safe to tell apart
_SIGNED_DARK = [[0, "#B39DDB"], [0.5, "#11151C"], [1, "#6FCF8E"]]
_LOUDNESS = [[0, "#FFFFFF"], [1, "#10142A"]]
_LOUDNESS_DARK = [[0, "#11151C"], [1, "#ECEEF3"]]


def entropy_over_time(times_s: np.ndarray, bits: np.ndarray, *, band: tuple[float, float] | None, duration_s: float,
                      runs: Sequence[tuple[float, float]] = (), provenance: str = "") -> go.Figure:
    """Entropy per frame with the 5-95 % band of bona fide frames and the low-entropy stretches.

    times_s, bits : np.ndarray [shape=(T,)], seconds and bits per frame;  runs : (start_s, stop_s)
    """
    figure = new_figure(height=260, provenance=provenance)
    _reference_band(figure, band)
    _curve(figure, times_s, bits, PURPLE, "H")
    for start, stop in runs:
        figure.add_vrect(x0=start, x1=stop, fillcolor=PURPLE, opacity=0.18, line={"width": 1, "color": PURPLE})
    time_axis(figure, duration_s)
    figure.update_xaxes(title="time, m:ss")
    figure.update_yaxes(title="entropy, bits per frame")
    return figure


def _reference_band(figure: go.Figure, band: tuple[float, float] | None, **where: int) -> None:
    if band is None:
        return
    figure.add_hrect(y0=band[0], y1=band[1], fillcolor=GREY, opacity=0.22, line={"width": 0}, layer="below", **where)
    label(figure, "5–95 % of bona fide frames", 1, band[1], xanchor="right", yanchor="top", size=11, dx=-4, dy=-1,
          row=where.get("row"), paper=False)
    figure.layout.annotations[-1].xref = "x domain"


def _curve(figure: go.Figure, times_s: np.ndarray, values: np.ndarray, colour: str, name: str, *, dash: str = "solid",
           row: int | None = None) -> None:
    """A curve of bounded length; what pooling hides is drawn as a band from the least to the greatest value."""
    pooled = pool(values, max_points=3_000)
    hop = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 0.0
    x = times_s[:: pooled.factor][: len(pooled.mean)] + (pooled.factor - 1) / 2 * hop
    where = {"row": row, "col": 1} if row else {}
    if pooled.low is not None:
        outline = np.concatenate([pooled.high, pooled.low[::-1]])
        figure.add_trace(go.Scatter(x=np.concatenate([x, x[::-1]]), y=outline, fill="toself", line={"width": 0},
                                    fillcolor=colour, opacity=0.25, hoverinfo="skip", name=f"{name}, range"), **where)
    figure.add_trace(go.Scatter(x=x, y=pooled.mean, mode="lines", name=name,
                                line={"color": colour, "width": 1.7, "dash": dash},
                                hovertemplate=f"%{{x:.3f}} s, {name} %{{y:.2f}}<extra></extra>"), **where)


def mel_pair(mel: np.ndarray, reconstruction: np.ndarray, *, start_s: float, hop_s: float,
             dark: bool = False, provenance: str = "") -> go.Figure:
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
    panels = ((shown, ink, low, high, 0.86), (rebuilt, ink, low, high, 0.5), (difference, signed, -reach, reach, 0.14))
    for row, (values, scale, zmin, zmax, y) in enumerate(panels, 1):
        figure.add_trace(go.Heatmap(z=np.round(values.T, 3), x=times, colorscale=scale, zmin=zmin, zmax=zmax,
                                    colorbar={"len": 0.29, "y": y, "thickness": 10, "x": 1.0, "xpad": 4,
                                              "tickfont": {"size": 10}, "nticks": 4},
                                    hovertemplate="%{x:.3f} s, band %{y}, %{z:.2f}<extra></extra>"), row=row, col=1)
    frame = new_figure(height=470, provenance=provenance)
    figure.update_layout(frame.layout)
    figure.update_layout(margin_r=56)
    names = ("what went in (log-mel)", "what the bottleneck rebuilds", "difference: green = lost, purple = added")
    for row, name in enumerate(names, 1):
        axis = "y domain" if row == 1 else f"y{row} domain"
        figure.add_annotation(text=name, xref="paper", yref=axis, x=0, y=1, xanchor="left", yanchor="bottom",
                              showarrow=False, font={"size": 12})
        figure.update_yaxes(title="mel band", tickvals=[0, 40, 79], ticktext=["1", "41", "80"], row=row, col=1)
    figure.update_xaxes(automargin=False, zeroline=False)
    figure.update_yaxes(automargin=False, zeroline=False)
    figure.update_xaxes(title="time, s", row=3, col=1)
    return figure


def adapters_effect(times_s: np.ndarray, on: np.ndarray, off: np.ndarray, *, duration_s: float,
                    provenance: str = "") -> go.Figure:
    """Entropy with the adapters (solid) and without (dotted), and the difference below.

    times_s, on, off : np.ndarray [shape=(T,)], seconds and bits per frame
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, row_heights=[0.6, 0.4])
    _curve(figure, times_s, on, PURPLE, "adapters on", row=1)
    _curve(figure, times_s, off, GREY, "adapters off", dash="dot", row=1)
    _curve(figure, times_s, np.asarray(on) - np.asarray(off), PURPLE, "on − off", row=2)
    figure.update_layout(new_figure(height=380, provenance=provenance).layout)
    figure.add_hline(y=0, line={"color": GREY, "width": 1}, row=2, col=1)
    legend(figure, [("—", "adapters on", PURPLE), ("···", "adapters off", GREY)])
    figure.add_annotation(text="on − off", xref="paper", yref="y2 domain", x=0, y=1, yanchor="bottom", xanchor="left",
                          showarrow=False, font={"size": 12})
    figure.update_yaxes(title="bits per frame", automargin=False)
    time_axis(figure, duration_s)
    figure.update_xaxes(title="time, m:ss", row=2, col=1)
    return figure


def layer_weights(weights: Sequence[float], *, provenance: str = "") -> go.Figure:
    """Share of each hidden layer in the mix that the bottleneck sees; layer 0 is the embedding."""
    figure = new_figure(height=230, provenance=provenance, top=14)
    names = [str(i) for i in range(len(weights))]
    figure.add_trace(go.Bar(x=names, y=list(weights), marker={"color": GREY}, width=0.7,
                            text=[f"{w:.0%}" for w in weights], textposition="outside", cliponaxis=False,
                            hovertemplate="layer %{x}: %{y:.1%}<extra></extra>"))
    figure.update_xaxes(title="hidden layer (0 = embedding)", type="category")
    figure.update_yaxes(title="weight", tickformat=".0%", range=[0, max(weights) * 1.2])
    return figure


def rate_distortion(kl_nats: np.ndarray, mse: np.ndarray, is_bonafide: np.ndarray, *, here: tuple[float, float],
                    provenance: str = "") -> go.Figure:
    """Rate (KL nats per frame) against distortion of the reference clips, and this recording among them.

    kl_nats, mse : np.ndarray [shape=(N,)];  is_bonafide : bool [shape=(N,)];  here : (KL, MSE) of this recording
    """
    figure = new_figure(height=330, provenance=provenance)
    kinds = ((True, BLUE, "circle", "bona fide"), (False, VERMILION, "x-thin", "spoof"))
    for wanted, colour, symbol, name in kinds:
        chosen = np.asarray(is_bonafide, bool) == wanted
        figure.add_trace(go.Scatter(
            x=kl_nats[chosen], y=mse[chosen], mode="markers", name=name, opacity=0.55,
            marker={"color": colour, "symbol": symbol, "size": 6, "line": {"color": colour, "width": 1.4}},
            hovertemplate=f"{name}: %{{x:.1f}} nats per frame, error %{{y:.3f}}<extra></extra>"))
    middle = float(np.median([*kl_nats, here[0]]))
    figure.add_trace(go.Scatter(
        x=[here[0]], y=[here[1]], mode="markers+text", name="this recording", text=["  this recording  "],
        textposition="middle right" if here[0] < middle else "middle left", textfont={"size": 13},
        marker={"symbol": "star", "size": 18, "color": "#F0E442", "line": {"color": "#000000", "width": 1.5}},
        hovertemplate="this recording: %{x:.1f} nats per frame, error %{y:.3f}<extra></extra>"))
    legend(figure, [("●", "bona fide reference clips", BLUE), ("×", "spoofed ones", VERMILION)])
    figure.update_xaxes(title="rate, KL nats per frame")
    figure.update_yaxes(title="reconstruction error, MSE")
    return figure


def entropy_histogram(edges: np.ndarray, bonafide: np.ndarray, spoof: np.ndarray, here: np.ndarray, *,
                      provenance: str = "") -> go.Figure:
    """Entropy of reference frames of both kinds and of this recording's frames, as shares per bin.

    edges : np.ndarray [shape=(K+1,)] bits per frame;  bonafide, spoof : shares [shape=(K,)];
    here : this recording's entropies [shape=(T,)]
    """
    figure = new_figure(height=330, provenance=provenance)
    here = here[np.isfinite(here)]
    counts, _ = np.histogram(np.clip(here, edges[0], edges[-1]), edges)
    shares = {"bona fide": bonafide / max(1e-12, bonafide.sum()), "spoof": spoof / max(1e-12, spoof.sum()),
              "this recording": counts / max(1, counts.sum())}
    styles = {"bona fide": (BLUE, "solid"), "spoof": (VERMILION, "dash"), "this recording": (None, "solid")}
    for name, values in shares.items():
        colour, dash = styles[name]
        fill = {"fill": "tozeroy", "fillcolor": "rgba(240,228,66,0.35)"} if name == "this recording" else {}
        line = {"width": 2.2, "dash": dash, "shape": "hvh", "color": colour or "#9A8C00"}
        centres = (edges[:-1] + edges[1:]) / 2
        figure.add_trace(go.Scatter(x=centres, y=values, mode="lines", name=name, line=line, **fill,
                                    hovertemplate=f"{name}: %{{y:.1%}} of frames near %{{x:.1f}} bits<extra></extra>"))
    legend(figure, [("—", "bona fide", BLUE), ("- -", "spoof", VERMILION), ("■", "this recording", "#B8A800")])
    figure.update_xaxes(title="entropy, bits per frame")
    figure.update_yaxes(title="share of frames", tickformat=".0%", rangemode="tozero")
    return figure


def posterior(mu: np.ndarray, sigma: np.ndarray, order: np.ndarray, *, provenance: str = "") -> go.Figure:
    """Mean and one standard deviation of every latent dimension of one frame, most discriminative first.

    mu, sigma : np.ndarray [shape=(D,)];  order : dimension numbers [shape=(D,)]
    """
    figure = new_figure(height=290, provenance=provenance)
    names = [str(int(d)) for d in order]
    figure.add_trace(go.Scatter(
        x=list(range(len(order))), y=mu[order], mode="markers", customdata=np.stack([order, sigma[order]], 1),
        marker={"color": PURPLE, "size": 6}, name="mean",
        error_y={"type": "data", "array": sigma[order], "color": GREY, "thickness": 1.4, "width": 0},
        hovertemplate="dimension %{customdata[0]}: mean %{y:.2f}, sigma %{customdata[1]:.2f}<extra></extra>"))
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    step = max(1, len(order) // 16)
    figure.update_xaxes(title="latent dimension, most discriminative first", tickvals=list(range(0, len(order), step)),
                        ticktext=names[::step], range=[-0.8, len(order) - 0.2])
    figure.update_yaxes(title="mean ± sigma")
    return figure

