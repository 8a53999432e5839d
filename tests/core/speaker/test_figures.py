"""The speaker figures draw what they were given, with units, and say nothing by colour alone."""

from __future__ import annotations

import json

import numpy as np

from core.figures import speaker as drawn


def curve(llr: bool):
    x = np.arange(101) / 100
    kept = np.where(x < 0.9, 0.4 + 0.4 * x, np.nan)
    values = tuple(4 * kept - 1 + d for d in (0.0, -0.3, 0.3)) if llr else None
    return drawn.verdict_curve(x, kept, 0.4 - 0.2 * x, 0.45, 0.6, values, at=0.5, flips=(0.31,) if llr else (),
                               provenance="case · 0123")


def test_the_verdict_curve_has_both_panels_where_it_is_calibrated():
    for llr in (True, False):
        figure = curve(llr)
        titles = [a.title.text for a in figure.select_yaxes()]
        assert titles == (["cosine", "log10 LR of the kept"] if llr else ["cosine"])
        words = json.dumps([a.text for a in figure.layout.annotations])
        assert ("flips at 0.31" in words) is llr and "case" in words
    dashes = {t.name: t.line.dash for t in curve(True).data if t.name in ("kept", "rejected", "as recorded", "soft gate")}
    assert len(set(dashes.values())) == 4, "line styles tell them apart without colour"


def test_gaps_stay_gaps():
    kept = next(t for t in curve(True).data if t.name == "kept")
    assert np.isnan(kept.y[95]) and kept.connectgaps is False


def test_share_curves_carry_their_intervals_in_percent():
    rows = [(0.0, 0.05, 0.02, 0.1), (0.8, 0.3, 0.2, 0.4)]
    figure = drawn.share_curves({"raw": rows, "svvad": rows})
    assert [len(t.x) for t in figure.data] == [2, 2]
    raw = figure.data[0]
    np.testing.assert_allclose([raw.y[1], raw.error_y.array[1], raw.error_y.arrayminus[1]], [30, 10, 10])
    assert {t.marker.symbol for t in figure.data} == {"circle-open", "circle"}
    assert "%" in figure.layout.yaxis.title.text and "%" in figure.layout.xaxis.title.text


def test_the_curves_of_every_method_have_a_look_and_a_mark_of_their_own():
    from core.figures.speaker import NAMES, share_curves

    curves = {name: [(0.0, 0.1, 0.05, 0.2), (0.4, 0.2, 0.1, 0.3)] for name in NAMES}
    figure = share_curves(curves)
    looks = {(t.line.dash, t.marker.symbol) for t in figure.data if t.line.dash}
    assert len(looks) == len(NAMES)
