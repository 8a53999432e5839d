"""Figures by their specification: units, fixed meaning of colours, uncertainty, bounds, and bounded size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core import figures
from core.figures import BLUE, GREY, VERMILION
from core.figures.template import GUTTER, MARGIN

BANDS = [
    (0.0, 0.301, "no support"),
    (0.301, 1.0, "weak support"),
    (1.0, 2.0, "moderate support"),
    (2.0, float("inf"), "strong support"),
]
PROVENANCE = "a.wav · 0123456789ab · model 01234567 · 0.1.0"
T = np.arange(300) * 0.02 + 0.01


def spec(figure) -> dict:
    return json.loads(figure.to_json())


def texts(figure) -> str:
    return " ".join(a.text for a in figure.layout.annotations)


def axis(llr: float):
    return figures.lr_axis(llr, llr - 0.4, llr + 0.3, bounds=(-2.4, 2.1), bands=BANDS, provenance=PROVENANCE)


def every_figure() -> dict:
    bits = 20 + np.sin(T)
    rng = np.random.default_rng(0)
    return {
        "lr": axis(-1.2),
        "score": figures.score_over_time(
            T, bits - 20, duration_s=6.0, regions=[(1.0, 2.0, "spoof")], unit="log10"
        ),
        "detectors": figures.detector_llrs([("one", -1.0, -1.5, -0.5), ("two", 0.5, 0.1, 0.9)]),
        "entropy": figures.entropy_over_time(T, bits, band=(19.0, 21.0), duration_s=6.0, runs=[(1.0, 2.0)]),
        "mel": figures.mel_pair(
            rng.normal(size=(100, 80)), rng.normal(size=(100, 80)), start_s=1.0, hop_s=0.02
        ),
        "adapters": figures.adapters_effect(T, bits, bits - 1, duration_s=6.0),
        "layers": figures.layer_weights([0.2, 0.5, 0.3]),
        "rd": figures.rate_distortion(
            rng.normal(5, 1, 40), rng.normal(1, 0.1, 40), np.arange(40) % 2 == 0, here=(4.0, 1.0)
        ),
        "histogram": figures.entropy_histogram(np.linspace(10, 30, 21), np.ones(20), np.ones(20), bits),
        "posterior": figures.posterior(rng.normal(size=64), np.ones(64), np.arange(64)[::-1]),
    }


@pytest.mark.parametrize("name", list(every_figure()))
def test_axes_have_units_and_margins_line_up_with_the_player(name):
    layout = spec(every_figure()[name])["layout"]
    visible = [
        a for key, a in layout.items() if key.startswith(("xaxis", "yaxis")) and a.get("visible", True)
    ]
    assert sum(bool(a.get("title", {}).get("text")) for a in visible) >= 1
    assert layout["margin"]["l"] == GUTTER
    if name in ("score", "entropy", "adapters"):
        assert layout["margin"]["r"] == MARGIN
        time_axes = [a for key, a in layout.items() if key.startswith("xaxis")]
        assert all(a["range"] == [0, 6.0] for a in time_axes)
    assert layout["showlegend"] is False


@pytest.mark.parametrize(
    ("llr", "colour", "shape"), [(-1.2, VERMILION, "diamond"), (1.2, BLUE, "circle"), (0.1, GREY, "square")]
)
def test_colour_and_shape_of_the_finding_say_the_same(llr, colour, shape):
    dot = next(t for t in axis(llr).data if t.type == "scatter")
    assert dot.marker.color == colour and dot.marker.symbol == shape
    assert dot.x[0] - dot.error_x.arrayminus[0] == pytest.approx(llr - 0.4)
    assert dot.x[0] + dot.error_x.array[0] == pytest.approx(llr + 0.3)


def test_the_axis_marks_bounds_bands_and_provenance():
    figure = axis(-1.2)
    for words in ("bound −2.40", "bound 2.10", "weak", "moderate", "supports bona fide", PROVENANCE, "−1.20"):
        assert words in texts(figure)
    low, high = figure.layout.xaxis.range
    assert low < -2.4 and high > 2.1 and low == -high
    hatched = [t for t in figure.data if t.type == "bar"]
    assert {t.marker.pattern.shape for t in hatched} == {"/"}
    assert {round(t.x[0] - t.width[0] / 2, 3) for t in hatched} >= {2.1}


@pytest.mark.parametrize("llr", [-9.0, -2.4, 0.0, 2.1, 9.0])
def test_the_number_is_always_in_sight(llr):
    low, high = axis(llr).layout.xaxis.range
    assert low < llr - 0.4 and llr + 0.3 < high


def test_spoof_is_hatched_where_it_is_vermilion():
    figure = every_figure()["score"]
    down = next(t for t in figure.data if t.name == "towards spoof")
    assert down.line.color == VERMILION and down.fillpattern.shape == "/"
    assert max(down.y) <= 0 <= min(next(t for t in figure.data if t.name == "towards bona fide").y)


def test_gaps_in_a_curve_stay_gaps():
    values = np.r_[np.ones(100), np.full(100, np.nan), np.ones(100)]
    figure = figures.entropy_over_time(T, values, band=None, duration_s=6.0)
    assert np.isnan(np.asarray(figure.data[-1].y, float)).sum() == 100


def test_an_hour_gives_no_larger_figures_than_a_minute():
    times = np.arange(180_000) * 0.02 + 0.01
    values = np.random.default_rng(0).normal(20, 1, len(times)).astype(np.float32)
    for figure in (
        figures.entropy_over_time(times, values, band=(18, 22), duration_s=3600.0),
        figures.score_over_time(times, values - 20, duration_s=3600.0),
        figures.adapters_effect(times, values, values, duration_s=3600.0),
    ):
        assert len(figure.to_json()) < 600_000
    top = max(
        np.max(np.asarray(t.y, float))
        for t in figures.entropy_over_time(times, values, band=None, duration_s=3600.0).data
    )
    assert top == pytest.approx(values.max(), rel=1e-5), "what pooling hides is drawn as a band"


def test_the_histogram_counts_every_frame_once():
    edges, bits = np.linspace(10, 30, 21), np.array([5.0, 12.0, 12.5, 29.0, 99.0, np.nan])
    figure = figures.entropy_histogram(edges, np.ones(20), np.ones(20), bits)
    for trace in figure.data:
        assert np.sum(trace.y) == pytest.approx(1.0)


def test_dimensions_keep_their_names_in_the_given_order():
    order = np.array([2, 0, 1])
    figure = figures.posterior(np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0]), order)
    assert list(figure.data[0].y) == [30.0, 10.0, 20.0] and list(figure.data[0].error_y.array) == [
        3.0,
        1.0,
        2.0,
    ]
    assert list(figure.layout.xaxis.ticktext) == ["2", "0", "1"]


def test_exports_are_svg_and_nothing_is_sent_anywhere():
    options = figures.config("earwitness-x")
    assert (
        options["toImageButtonOptions"]["format"] == "svg"
        and "sendDataToCloud" in options["modeBarButtonsToRemove"]
    )
