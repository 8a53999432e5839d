"""The panels below the player on the frame-entropy page. Each draws one figure, its data and what it
means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core import figures
from core.frames import format_time
from pages.parts import cache, progress, widgets
from pages.parts.desk import Desk

PAPER = "Zhao et al., arXiv 2504.10819"
LONGEST_REGION_S = 20.0
FIRST_REGION_S = 8.0


def curve(found: Desk, entropy: Any, reference: Any) -> None:
    """The entropy curve as a figure for a report; the player above shows the same values."""
    with st.expander("The entropy over time as a figure, and its data"):
        track = entropy.entropy
        figure = cache.figure(
            "entropy",
            found.key,
            lambda: figures.entropy_over_time(
                track.times_s,
                track.values,
                band=tuple(reference["entropy_band_bits"]),
                duration_s=found.recording.duration_s,
                provenance=found.provenance,
                runs=[(r.start_s, r.stop_s) for r in entropy.low_runs],
            ),
        )
        st.plotly_chart(
            figure, key="chart-entropy", width="stretch", config=figures.config("earwitness-entropy")
        )
        st.dataframe(cache.track_table(found.key, "bits per frame", track), hide_index=True, height=240)


def region_of(found: Desk) -> tuple[float, float, bool]:
    """The region that is computed for, in seconds, and whether it is the examiner's selection as it
    stands.
    """
    chosen, duration = found.opened.selection_s, found.recording.duration_s
    if chosen is None:
        return 0.0, min(duration, FIRST_REGION_S), False
    start, stop = chosen
    stop = max(stop, min(duration, start + 0.1))
    return start, min(stop, start + LONGEST_REGION_S), stop - start <= LONGEST_REGION_S


def reconstruction(found: Desk, done: Any, detector: Any) -> None:
    """What goes in, what the bottleneck rebuilds, and the difference, for the selected region."""
    from core.entropy import reconstruct

    start, stop, as_chosen = region_of(found)
    where = f"{format_time(start)} – {format_time(stop)}"
    st.caption(
        f"Region {where}, as selected in the player."
        if as_chosen
        else f"Region {where}. Select another in the player (at most {LONGEST_REGION_S:.0f} s are shown)."
    )
    hop = done.encoding.hop_s
    key = (*found.key, round(start, 4), round(stop, 4))
    mel, rebuilt = cache.figure(
        "mel", key, lambda: reconstruct(done.encoding, detector, start, stop, recording=found.recording)
    )
    figure = cache.figure(
        "mel figure",
        (*key, widgets.dark()),
        lambda: figures.mel_pair(
            mel, rebuilt, start_s=start, hop_s=hop, dark=widgets.dark(), provenance=found.provenance
        ),
    )
    error = np.square(mel - rebuilt).mean(axis=1)
    widgets.chart(
        figure,
        "mel",
        table={
            "time, s": np.round(start + (np.arange(len(mel)) + 0.5) * hop, 3),
            "mean log-mel": np.round(mel.mean(axis=1), 3),
            "mean rebuilt": np.round(rebuilt.mean(axis=1), 3),
            "squared error": np.round(error, 4),
        },
        about=(
            "the bottleneck must rebuild the sound from its code, so what is lost in the difference is "
            "what the code "
            "doesn't carry.",
            "a large difference doesn't point to synthesis; noise and rare sounds are hard to rebuild "
            "for bona fide speech too. The rebuilt picture is an average, so it always looks smoother.",
        ),
        paper=PAPER,
    )


def inspector(found: Desk, done: Any, detector: Any) -> None:
    """Mean and deviation of the posterior at the clicked frame."""
    from core.entropy import frame_posterior

    sample = found.opened.clicked
    moment = (sample if sample is not None else len(found.recording.samples) // 2) / 16_000
    hop, order = done.encoding.hop_s, detector.reference["dim_order"].astype(int)
    frame = min(int(moment / hop), len(done.entropy.entropy.values) - 1)
    st.subheader(f"One frame: {format_time(moment)}")
    st.caption(
        f"Frame {frame}, samples {frame * 320} to {frame * 320 + 320}; click in the player for another."
        + ("" if sample is not None else " (The middle of the recording until you click.)")
    )
    key = (*found.key, frame)
    mu, sigma = cache.figure("posterior", key, lambda: frame_posterior(done.encoding, detector, moment))
    figure = cache.figure(
        "posterior figure", key, lambda: figures.posterior(mu, sigma, order, provenance=found.provenance)
    )
    bits = 0.5 * np.log2(2 * np.pi * np.e * np.square(sigma))
    widgets.chart(
        figure,
        "posterior",
        table={
            "dimension": order,
            "mean": np.round(mu[order], 3),
            "sigma": np.round(sigma[order], 4),
            "bits": np.round(bits[order], 3),
        },
        about=(
            "each dot is the mean of one latent dimension and its bar one standard deviation; the entropy "
            "of the frame is "
            "the sum of ½ log₂(2πe σ²) over the bars.",
            "the means never reach the classifier: only the lengths of the bars do. Single dimensions have "
            "no name and no "
            "fixed acoustic sense.",
        ),
        paper=PAPER,
    )


def rate_distortion(found: Desk, entropy: Any, reference: Any) -> None:
    """Where the recording lies between rate and distortion, among the reference clips."""
    points, kinds = reference["rate_distortion"], reference["rd_is_bonafide"]
    here = (entropy.kl_nats_per_frame, entropy.recon_mse)
    figure = cache.figure(
        "rd",
        found.key,
        lambda: figures.rate_distortion(
            points[:, 0], points[:, 1], kinds, here=here, provenance=found.provenance
        ),
    )
    rows = {
        "kind": ["this recording", *np.where(kinds.astype(bool), "bona fide", "spoof")],
        "rate, nats per frame": np.round([here[0], *points[:, 0]], 2),
        "reconstruction error": np.round([here[1], *points[:, 1]], 4),
    }
    widgets.chart(
        figure,
        "rate-distortion",
        table=rows,
        about=(
            "to the right the code carries more about each frame, further down it rebuilds the sound better.",
            "a place among the crosses is no finding: both clouds overlap, and noise moves a recording as "
            "much as "
            "synthesis does. The calibrated LR is on the Finding page.",
        ),
        paper=PAPER,
        narrow=True,
    )


def histogram(found: Desk, entropy: Any, reference: Any) -> None:
    """This recording's frame entropies against those of the reference material."""
    edges = reference["entropy_hist_edges"]
    bona, spoof = reference["entropy_hist_bonafide"], reference["entropy_hist_spoof"]
    figure = cache.figure(
        "histogram",
        found.key,
        lambda: figures.entropy_histogram(
            edges, bona, spoof, entropy.entropy.values, provenance=found.provenance
        ),
    )
    rows = {
        "from, bits": np.round(edges[:-1], 2),
        "to, bits": np.round(edges[1:], 2),
        "bona fide": np.round(bona, 4),
        "spoof": np.round(spoof, 4),
    }
    widgets.chart(
        figure,
        "entropy-histogram",
        table=rows,
        about=(
            "how often each entropy occurs in bona fide reference frames, in spoofed ones, and here.",
            "the classes overlap frame by frame; the detector looks at all dimensions and at how they "
            "change, which this "
            "sum can't show. Silence belongs to all three curves.",
        ),
        paper=PAPER,
        narrow=True,
    )


def adapters(found: Desk, done: Any, detector: Any) -> None:
    """The second encoding, without adapters, as a job on demand; and the weights of the layers."""
    weights = cache.figure("weights", (done.weights_sha256,), lambda: detector.network.mix.weights().tolist())
    left, right = st.columns([2, 1], gap="large")
    with right:
        figure = cache.figure(
            "weights figure", (done.weights_sha256,), lambda: figures.layer_weights(weights)
        )
        widgets.chart(
            figure,
            "layer-weights",
            table={"layer": list(range(len(weights))), "weight": np.round(weights, 4)},
            about=(
                "the share of each hidden layer of the encoder in what the bottleneck sees; it is learned "
                "once and is the "
                "same for every recording.",
                "a large weight doesn't say that the layer finds fakes: layers differ in "
                "scale and repeat each other. It says nothing about this recording.",
            ),
            paper=PAPER,
            narrow=True,
        )
    with left:
        _effect(found, done)


def _effect(found: Desk, done: Any) -> None:
    opened = found.opened
    st.markdown(
        "The adapters teach the frozen speech encoder to listen for synthesis. Encode once more without "
        "them to "
        "see what they change in this recording."
    )
    if not opened.adapters_asked:
        if st.button("Encode without the adapters", key="ask-adapters"):
            opened.adapters_asked = True
            st.rerun()
        return
    job = cache.without_adapters(done)
    job.wait(0.05)
    if not job.ended:
        found.places.append(progress.show(job, "Second encoding", key="adapters"))
        return
    if job.result is None:
        opened.adapters_asked = False
        st.info(job.reason)
        return
    _overlay(found, done.entropy.entropy, job.result.entropy)


def _overlay(found: Desk, on: Any, off: Any) -> None:
    n = min(len(on.values), len(off.values))
    figure = cache.figure(
        "adapters",
        found.key,
        lambda: figures.adapters_effect(
            on.times_s[:n],
            on.values[:n],
            off.values[:n],
            duration_s=found.recording.duration_s,
            provenance=found.provenance,
        ),
    )
    step = max(1, n // 3_000)
    widgets.chart(
        figure,
        "adapters",
        table={
            "time, s": np.round(on.times_s[:n:step], 3),
            "on, bits": np.round(on.values[:n:step], 3),
            "off, bits": np.round(off.values[:n:step], 3),
            "on − off": np.round((on.values[:n] - off.values[:n])[::step], 3),
        },
        about=(
            "where the curves part, the adapters changed what the bottleneck keeps; the lower panel is "
            "their difference.",
            "the curve without adapters is not a second opinion, because the bottleneck was trained with "
            "them. A large "
            "difference only shows where the adapters act.",
        ),
        paper=PAPER,
    )
