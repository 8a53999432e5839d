"""Figures of the complementarity page say in numbers and shapes what they say in colours, and their bars add up."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.figures.complement import accuracy_by_models, fusion_waterfall, member_matrix

NAMES = ["one", "two", "three"]


def test_every_cell_of_a_matrix_carries_its_number():
    values = np.array([[1.0, -0.25, 0.5], [-0.25, 1.0, 0.0], [0.5, 0.0, 1.0]])
    trace = member_matrix(NAMES, values, signed=True).data[0]
    assert trace.text[0][1] == "−0.25" and trace.text[0][2] == "0.50" and (trace.zmin, trace.zmax) == (-1, 1)
    assert member_matrix(NAMES, np.abs(values), dark=True).data[0].zmin == 0
    assert "one and two" in trace.customdata[0][1]


@settings(max_examples=25, deadline=None)
@given(st.floats(-1, 1), st.lists(st.floats(-2, 2), min_size=1, max_size=5))
def test_bars_begin_where_the_last_one_ended_and_stay_on_the_axis(start, steps):
    total = start + sum(steps)
    named = [(f"m{i}", s) for i, s in enumerate(steps)]
    figure = fusion_waterfall(start, named, total, max(-1.0, min(1.0, total)), (-1, 1))
    bars = [t for t in figure.data if t.type == "bar"]
    ends = np.cumsum([start, *steps])
    assert np.allclose([b.base[0] for b in bars], [0.0, *ends[:-1]])
    assert np.allclose([b.base[0] + b.x[0] for b in bars], ends) and np.isclose(ends[-1], total)
    low, high = figure.layout.xaxis.range
    assert low < min(0, *ends) and high > max(0, *ends)
    assert all((b.marker.pattern.shape == "/") == (b.x[0] < 0) for b in bars), "hatching says which way"
    told = [a.text for a in figure.layout.annotations if "held at the bound" in a.text]
    assert bool(told) == (abs(total) > 1.005) or abs(abs(total) - 1.005) < 1e-6


def test_every_kind_of_model_has_a_line_from_the_last_member_on():
    rows = [{"models": n, "kind": k, "eer": e, "low": e - 0.01, "high": e + 0.01}
            for n, k, e in ((1, "members", 0.4), (2, "members", 0.3), (3, "plain", 0.28), (3, "acorl", 0.27))]
    figure = accuracy_by_models(rows, {"value": 0.2, "low": 0.15, "high": 0.25})
    lines = {t.name: t for t in figure.data}
    assert len(lines) == 3 and len({t.marker.symbol for t in figure.data}) == 3
    assert list(lines["plus ACoRL alliances"].x) == [2, 3] and list(lines["plus ACoRL alliances"].y) == [30, 27]
    assert figure.layout.xaxis.title.text and "%" in figure.layout.yaxis.title.text
