"""Figures that place a recording among reference material, and look into the network that made the curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.template import BLUE, GREY, PURPLE, VERMILION, legend, new_figure


def layer_weights(weights: Sequence[float], *, provenance: str = "") -> go.Figure:
    """Share of each hidden layer in the mix that the bottleneck sees; layer 0 is the embedding."""
    figure = new_figure(height=230, provenance=provenance, top=14)
    names = [str(i) for i in range(len(weights))]
    figure.add_trace(
        go.Bar(
            x=names,
            y=list(weights),
            marker={"color": GREY},
            width=0.7,
            text=[f"{w:.0%}" for w in weights],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="layer %{x}: %{y:.1%}<extra></extra>",
        )
    )
    figure.update_xaxes(title="hidden layer (0 = embedding)", type="category")
    figure.update_yaxes(title="weight", tickformat=".0%", range=[0, max(weights) * 1.2])
    return figure


def rate_distortion(
    kl_nats: np.ndarray,
    mse: np.ndarray,
    is_bonafide: np.ndarray,
    *,
    here: tuple[float, float],
    provenance: str = "",
) -> go.Figure:
    """Rate (KL nats per frame) against distortion of the reference clips, and this recording among them.

    kl_nats, mse : np.ndarray [shape=(N,)];  is_bonafide : bool [shape=(N,)];  here : (KL, MSE) of this
    recording
    """
    figure = new_figure(height=330, provenance=provenance)
    kinds = ((True, BLUE, "circle", "bona fide"), (False, VERMILION, "x-thin", "spoof"))
    for wanted, colour, symbol, name in kinds:
        chosen = np.asarray(is_bonafide, bool) == wanted
        figure.add_trace(
            go.Scatter(
                x=kl_nats[chosen],
                y=mse[chosen],
                mode="markers",
                name=name,
                opacity=0.55,
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": 6,
                    "line": {"color": colour, "width": 1.4},
                },
                hovertemplate=f"{name}: %{{x:.1f}} nats per frame, error %{{y:.3f}}<extra></extra>",
            )
        )
    middle = float(np.median([*kl_nats, here[0]]))
    figure.add_trace(
        go.Scatter(
            x=[here[0]],
            y=[here[1]],
            mode="markers+text",
            name="this recording",
            text=["  this recording  "],
            textposition="middle right" if here[0] < middle else "middle left",
            textfont={"size": 13},
            marker={
                "symbol": "star",
                "size": 18,
                "color": "#F0E442",
                "line": {"color": "#000000", "width": 1.5},
            },
            hovertemplate="this recording: %{x:.1f} nats per frame, error %{y:.3f}<extra></extra>",
        )
    )
    legend(figure, [("●", "bona fide reference clips", BLUE), ("×", "spoofed ones", VERMILION)])
    figure.update_xaxes(title="rate, KL nats per frame")
    figure.update_yaxes(title="reconstruction error, MSE")
    return figure


def entropy_histogram(
    edges: np.ndarray, bonafide: np.ndarray, spoof: np.ndarray, here: np.ndarray, *, provenance: str = ""
) -> go.Figure:
    """Entropy of reference frames of both kinds and of this recording's frames, as shares per bin.

    edges : np.ndarray [shape=(K+1,)] bits per frame;  bonafide, spoof : shares [shape=(K,)];
    here : this recording's entropies [shape=(T,)]
    """
    figure = new_figure(height=330, provenance=provenance)
    here = here[np.isfinite(here)]
    counts, _ = np.histogram(np.clip(here, edges[0], edges[-1]), edges)
    shares = {
        "bona fide": bonafide / max(1e-12, bonafide.sum()),
        "spoof": spoof / max(1e-12, spoof.sum()),
        "this recording": counts / max(1, counts.sum()),
    }
    styles = {"bona fide": (BLUE, "solid"), "spoof": (VERMILION, "dash"), "this recording": (None, "solid")}
    for name, values in shares.items():
        colour, dash = styles[name]
        fill = {"fill": "tozeroy", "fillcolor": "rgba(240,228,66,0.35)"} if name == "this recording" else {}
        line = {"width": 2.2, "dash": dash, "shape": "hvh", "color": colour or "#9A8C00"}
        centres = (edges[:-1] + edges[1:]) / 2
        figure.add_trace(
            go.Scatter(
                x=centres,
                y=values,
                mode="lines",
                name=name,
                line=line,
                **fill,
                hovertemplate=f"{name}: %{{y:.1%}} of frames near %{{x:.1f}} bits<extra></extra>",
            )
        )
    legend(
        figure, [("—", "bona fide", BLUE), ("- -", "spoof", VERMILION), ("■", "this recording", "#B8A800")]
    )
    figure.update_xaxes(title="entropy, bits per frame")
    figure.update_yaxes(title="share of frames", tickformat=".0%", rangemode="tozero")
    return figure


def posterior(mu: np.ndarray, sigma: np.ndarray, order: np.ndarray, *, provenance: str = "") -> go.Figure:
    """Mean and one standard deviation of every latent dimension of one frame, most discriminative first.

    mu, sigma : np.ndarray [shape=(D,)];  order : dimension numbers [shape=(D,)]
    """
    figure = new_figure(height=290, provenance=provenance)
    names = [str(int(d)) for d in order]
    figure.add_trace(
        go.Scatter(
            x=list(range(len(order))),
            y=mu[order],
            mode="markers",
            customdata=np.stack([order, sigma[order]], 1),
            marker={"color": PURPLE, "size": 6},
            name="mean",
            error_y={"type": "data", "array": sigma[order], "color": GREY, "thickness": 1.4, "width": 0},
            hovertemplate="dimension %{customdata[0]}: mean %{y:.2f}, "
            "sigma %{customdata[1]:.2f}<extra></extra>",
        )
    )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    step = max(1, len(order) // 16)
    figure.update_xaxes(
        title="latent dimension, most discriminative first",
        tickvals=list(range(0, len(order), step)),
        ticktext=names[::step],
        range=[-0.8, len(order) - 0.2],
    )
    figure.update_yaxes(title="mean ± sigma")
    return figure
