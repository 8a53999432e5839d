"""Agreement in words, and windows on one time axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calibrate import Llr
from core.detectors.agreement import agreement, over_time, says
from core.detectors.base import Opinion
from core.frames import plan_windows

llrs = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(-6, 6)), max_size=5)


@given(llrs, st.integers(0, 3))
def test_disagreement_is_said_exactly_where_two_point_apart(rows, raw):
    words = agreement(rows, uncalibrated=raw)
    apart = any(v > 0.5 for _, v in rows) and any(v < -0.5 for _, v in rows)
    near = any(0.2 < abs(v) <= 0.5 for _, v in rows)
    if len(rows) > 1 and not near:
        assert ("disagree" in words) == apart
    assert ("raw score" in words) == (raw > 0) and words.endswith(".")
    assert "majority" not in words, "no vote is counted"


@pytest.mark.parametrize(("values", "words"), [
    ((), "No detector here is calibrated"), ((1.0,), "Only a is calibrated (towards bona fide)"),
    ((-1.0, -2.0), "All 2 calibrated detectors point the same way: towards synthesis"),
    ((1.0, 0.0), "a points towards bona fide (b neither way)"), ((0.1, -0.1), "None of the 2"),
    ((1.0, -1.0, 0.0), "a points towards bona fide, b towards synthesis or conversion (c neither way)"),
])  # fmt: skip
def test_the_words(values, words):
    assert words in agreement(list(zip("abc", values, strict=False)))


@given(st.integers(1_600, 300_000), st.integers(8_000, 64_000))
def test_every_moment_gets_the_mean_of_its_windows(n, size):
    windows = plan_windows(n, window=size, min_window=size)
    scores = np.linspace(-1, 1, len(windows))
    curve = over_time(windows, scores, n)
    assert len(curve) == int(np.ceil(n / 1_600)) and np.isfinite(curve).all()
    assert scores.min() - 1e-9 <= curve.min() and curve.max() <= scores.max() + 1e-9
    assert np.isnan(over_time((), np.zeros(0), n)).all()
    np.testing.assert_allclose(over_time(windows, np.full(len(windows), 3.0), n), 3.0)


def test_a_table_cell_says_what_the_number_is():
    def opinion(score, llr=None, saturated=False):
        return Opinion("x", "x", "", score, llr, None, (), np.zeros(0), saturated=saturated)

    assert says(opinion(None)) == "no score"
    assert "not calibrated" in says(opinion(1.0)) and says(opinion(1.0, saturated=True)).endswith("saturated")
    assert says(opinion(1.0, Llr(-2.5, -3, -2, True))) == ("moderately strong support, towards synthesis or conversion, "
                                                           "at its bound")
