"""Calibration: known answers, metamorphic laws, and lir as the oracle of the bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibrate import LN10, Calibration, elub, fit_calibration, fit_logistic
from core.metrics import cllr


def gaussians(n: int = 4000, seed: int = 0, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Natural-log LLRs N(+-2, 4): perfectly calibrated as they are."""
    rng = np.random.default_rng(seed)
    return (
        np.concatenate((rng.normal(gap, 2, n), rng.normal(-gap, 2, n))),
        np.concatenate((np.ones(n), np.zeros(n))),
    )


def test_perfectly_calibrated_scores_stay():
    x, y = gaussians(100_000)
    slope, intercept = fit_logistic(x, y)
    assert slope * LN10 == pytest.approx(1, abs=0.02)
    assert intercept == pytest.approx(0, abs=0.01)


def test_numbers_of_trials_do_not_move_the_likelihood_ratio():
    x, y = gaussians(50_000)
    keep = (y == 1) | (np.arange(y.size) % 10 == 0)  # a tenth of the spoofed trials
    assert fit_logistic(x[keep], y[keep]) == pytest.approx(fit_logistic(x, y), abs=0.02)


def test_agrees_with_an_unregularised_library_fit():
    from sklearn.linear_model import LogisticRegression

    x, y = gaussians(700, seed=3)
    x = 3 * x + 1
    oracle = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-10, max_iter=1000).fit(x[:, None], y)
    slope, intercept = fit_logistic(x, y)
    assert slope * LN10 == pytest.approx(float(oracle.coef_[0, 0]), rel=2e-3)
    assert intercept * LN10 == pytest.approx(float(oracle.intercept_[0]), rel=5e-3, abs=2e-3)


scores = st.lists(st.floats(-20, 20).map(lambda v: round(v, 3)), min_size=3, max_size=40).map(np.array)


@settings(max_examples=60)
@given(scores, scores, st.floats(0.01, 100), st.floats(-50, 50))
def test_affine_maps_and_swapped_classes(b, s, scale, shift):
    x, y = np.concatenate((b, s)), np.concatenate((np.ones(b.size), np.zeros(s.size)))
    slope, intercept = fit_logistic(x, y)
    moved = fit_logistic(scale * x + shift, y)
    assert moved[0] * (scale * x + shift) + moved[1] == pytest.approx(slope * x + intercept, abs=1e-5)
    swapped = fit_logistic(x, 1 - y)
    assert swapped == pytest.approx((-slope, -intercept), abs=1e-6)
    mirrored = fit_logistic(-x, 1 - y)
    assert mirrored == pytest.approx((slope, -intercept), abs=1e-6)


@given(scores, scores)
def test_weights_are_repetitions(b, s):
    x, y = np.concatenate((b, s)), np.concatenate((np.ones(b.size), np.zeros(s.size)))
    w = np.arange(x.size) % 3 + 1
    assert fit_logistic(x, y, w) == pytest.approx(fit_logistic(np.repeat(x, w), np.repeat(y, w)), abs=1e-6)


def test_separable_and_constant_scores_stay_finite():
    slope, intercept = fit_logistic([1.0, 2.0, -1.0, -2.0], [1, 1, 0, 0])
    assert np.isfinite([slope, intercept]).all() and slope > 0
    assert fit_logistic([3.0, 3.0, 3.0], [1, 0, 0]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("x", "y"),
    [([1.0, 2.0], [1, 1]), ([1.0, np.inf], [1, 0]), ([1.0], [1, 0]), ([1.0, 2.0], [1, 2]), ([], [])],
)
def test_impossible_data_are_refused(x, y):
    with pytest.raises(ValueError):
        fit_logistic(x, y)


@settings(max_examples=60)
@given(scores, scores)
def test_bounds_agree_with_lir(b, s):
    from lir.algorithms.bayeserror import elub as oracle

    x, y = np.concatenate((b, s)) / 7 + 0.00037, np.concatenate((np.ones(b.size), np.zeros(s.size)))
    # The oracle's grid may miss 0 by a rounding error and then skips a failure there; ours has an exact 0.
    for ours, theirs in zip(elub(x, y), oracle(x.copy(), y), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9) or ours == 0


def test_bounds_agree_with_lir_on_many_trials_and_grow_with_them():
    from lir.algorithms.bayeserror import elub as oracle

    widths = []
    for n in (30, 300, 3000):
        x, y = gaussians(n, seed=n)
        low, high = elub(x / LN10, y)
        assert (low, high) == pytest.approx(oracle(x / LN10, y), abs=1e-9)
        assert -np.log10(n + 1) <= low + 0.01 and high - 0.01 <= np.log10(n + 1)
        widths.append(high - low)
    assert widths == sorted(widths)


def test_bounds_of_weighted_trials_are_no_wider():
    x, y = gaussians(300, seed=1)
    assert elub(x / LN10, y, np.full(x.size, 7.0)) == pytest.approx(elub(x / LN10, y))
    # a tenth of the trials carries nearly all the weight
    w = np.where(np.arange(x.size) % 10 == 0, 100.0, 1.0)
    low, high = elub(x / LN10, y, w)
    assert low >= elub(x / LN10, y)[0] - 0.3 and high <= elub(x / LN10, y)[1] + 0.3


def test_apply_is_monotone_bounded_and_says_so():
    x, y = gaussians(500)
    calibration = fit_calibration(x, y, n_boot=200)
    grid = np.linspace(-30, 30, 121)
    value, low, high, bounded = calibration.apply_many(grid)
    assert (np.diff(value) >= 0).all()
    assert (low <= value).all() and (value <= high).all()
    assert value.min() == calibration.bounds[0] and value.max() == calibration.bounds[1]
    assert bounded[0] and bounded[-1] and not bounded[60]
    one = calibration.apply(0.7)
    assert one.low < one.value < one.high and not one.bounded
    with pytest.raises(ValueError):
        calibration.apply(float("nan"))


def test_interval_narrows_with_data_and_widens_with_groups():
    def width(n, groups=None):
        x, y = gaussians(n, seed=2)
        out = fit_calibration(x, y, groups, n_boot=200).apply(2.0)
        return out.high - out.low

    assert width(2000) < width(200)
    x, y = gaussians(400, seed=2)
    shift = np.repeat(np.random.default_rng(0).normal(0, 3, 16), 50)  # 16 groups that move together
    groups = np.repeat(np.arange(16), 50)
    grouped, alone = (fit_calibration(x + shift, y, g, n_boot=200).apply(2.0) for g in (groups, None))
    assert grouped.high - grouped.low > alone.high - alone.low


def test_calibrating_helps_a_shifted_score():
    x, y = gaussians(2000, seed=9)
    raw = 5 * x + 3
    calibration = fit_calibration(raw, y, n_boot=0)
    llr = calibration.apply_many(raw)[0]
    assert cllr(llr[y == 1], llr[y == 0]) < 0.56
    assert calibration.apply(0.0).low == calibration.apply(0.0).high  # no bootstrap, no interval


def test_save_and_load(tmp_path):
    x, y = gaussians(100)
    calibration = fit_calibration(x, y, np.arange(200) // 4, n_boot=50)
    calibration.save(tmp_path / "calibration.safetensors")
    back = Calibration.load(tmp_path / "calibration.safetensors")
    assert back.apply(1.3) == calibration.apply(1.3)
    assert sorted(back.to_arrays()) == ["bootstrap", "bounds", "intercept", "slope"]
    assert back.to_arrays()["bootstrap"].shape == (50, 2)


@pytest.mark.parametrize("spoil", ["missing", "nan", "bounds", "shape"])
def test_a_spoilt_calibration_is_refused(spoil):
    arrays = Calibration(1.0, 0.0, np.zeros((0, 2)), (-1.0, 1.0)).to_arrays()
    if spoil == "missing":
        del arrays["slope"]
    if spoil == "nan":
        arrays["intercept"] = np.array([np.nan])
    if spoil == "bounds":
        arrays["bounds"] = np.array([1.0, -1.0])
    if spoil == "shape":
        arrays["bounds"] = np.array([1.0])
    with pytest.raises(ValueError):
        Calibration.from_arrays(arrays)
