"""Known answers, laws and independent oracles for the metrics."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from core import metrics as m
from core.localise import merge_spans

finite = st.floats(-30, 30, allow_nan=False)
trials = st.lists(finite, min_size=2, max_size=60).map(lambda v: np.round(v, 6))


def two_gaussians(d: float, n: int = 100_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(d, 1, n), rng.normal(0, 1, n)


def lir_data(b: np.ndarray, s: np.ndarray):
    from lir.data.models import LLRData

    return LLRData(
        features=np.concatenate((b, s)), labels=np.concatenate((np.ones(b.size), np.zeros(s.size)))
    )


@pytest.mark.parametrize(("d", "known"), [(1, 0.309), (2, 0.158), (4, 0.0229)])
def test_eer_of_two_unit_gaussians(d, known):
    value, threshold = m.eer(*two_gaussians(d))
    assert value == pytest.approx(norm.cdf(-d / 2), abs=2e-3)
    assert value == pytest.approx(known, abs=2e-3)
    assert threshold == pytest.approx(d / 2, abs=0.03)


def test_perfect_and_useless_scores():
    b, s = np.arange(10, 20.0), np.arange(0, 10.0)
    assert m.eer(b, s)[0] == 0
    assert m.min_dcf(b, s) == 0
    assert m.cllr_min(b, s) == 0
    rng = np.random.default_rng(1)
    assert m.min_dcf(rng.normal(size=20_000), rng.normal(size=20_000)) == pytest.approx(1, abs=0.01)


def test_llr_of_zero_costs_one_bit():
    assert m.cllr(np.zeros(7), np.zeros(3)) == 1.0


def test_perfectly_calibrated_gaussian_llrs():
    rng = np.random.default_rng(2)
    b, s = rng.normal(2, 2, 200_000) / m.LN10, rng.normal(-2, 2, 200_000) / m.LN10
    assert m.cllr(b, s) == pytest.approx(0.515, abs=3e-3)
    assert m.cllr_min(b, s) == pytest.approx(m.cllr(b, s), abs=2e-3)
    assert m.cllr_min(b, s) <= m.cllr(b, s)


def test_act_dcf_by_hand_and_never_below_min_dcf():
    # beta = 1 * 0.95 / (10 * 0.05) = 1.9, threshold -0.6419: 1 of 4 missed, 1 of 2 accepted
    b, s = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([-3.0, -0.5])
    assert m.act_dcf(b, s) == pytest.approx((0.95 * 0.25 + 0.5 * 0.5) / 0.5)
    rng = np.random.default_rng(3)
    b, s = rng.normal(2, 2, 5000), rng.normal(-2, 2, 5000)
    assert m.min_dcf(b, s) <= m.act_dcf(b, s) <= m.min_dcf(b, s) + 0.05


def test_det_convention_first_point_and_stable_order():
    curve = m.det_curve([1.0, 3.0], [0.0, 1.0])
    assert curve.frr.tolist() == [0, 0, 0.5, 0.5, 1]  # the bona fide trial comes first of the two tied at 1
    assert curve.far.tolist() == [1, 0.5, 0.5, 0, 0]
    assert curve.thresholds[0] == -0.001
    merged = m.det_curve([1.0, 3.0], [0.0, 1.0], merge_ties=True)
    assert merged.frr.tolist() == [0, 0, 0.5, 1]
    assert m.eer(np.ones(5), np.ones(4), merge_ties=True)[0] == 0.5
    # three tied in the middle of four: both thresholds beside them are as close
    assert m.eer(np.zeros(3), [1.0, 1.0, -1.0, -1.0], merge_ties=True)[0] == pytest.approx(0.5)


def test_probits_are_finite_and_linear_for_gaussians():
    far, frr = m.det_curve(*two_gaussians(2)).probits()
    assert np.isfinite(far).all() and np.isfinite(frr).all()
    inner = (np.abs(far) < 1.5) & (np.abs(frr) < 1.5)
    assert np.allclose(far[inner] + frr[inner], -2, atol=0.05)


@given(trials, trials)
def test_cllr_agrees_with_lir(b, s):
    from lir.metrics import cllr

    assert m.cllr(b / 4, s / 4) == pytest.approx(cllr(lir_data(b / 4, s / 4)), rel=1e-12)


@given(trials, trials)
def test_cllr_min_agrees_with_lir(b, s):
    from lir.metrics import cllr_min

    # lir's calibrator interpolates in float64 over the same pooled steps
    assert m.cllr_min(b, s) == pytest.approx(cllr_min(lir_data(b, s)), abs=1e-9)


@given(trials, trials, st.floats(0.1, 10), finite)
def test_error_rates_do_not_see_a_rising_map(b, s, scale, shift):
    b, s = np.round(b, 3), np.round(s, 3)
    value = m.eer(b, s)[0]
    assert m.eer(scale * b + shift, scale * s + shift)[0] == pytest.approx(value)
    assert m.eer(b, s, merge_ties=True)[0] == pytest.approx(m.eer(-s, -b, merge_ties=True)[0])
    assert 0 <= m.min_dcf(b, s) <= 1


@given(trials, trials)
def test_weights_are_repetitions(b, s):
    wb, ws = np.arange(b.size) % 3 + 1, np.arange(s.size) % 2 + 1
    weights = {"weights_bonafide": wb, "weights_spoof": ws}
    big_b, big_s = np.repeat(b, wb), np.repeat(s, ws)
    assert m.eer(b, s, merge_ties=True, **weights)[0] == pytest.approx(
        m.eer(big_b, big_s, merge_ties=True)[0]
    )
    assert m.cllr(b / 9, s / 9, **weights) == pytest.approx(m.cllr(big_b / 9, big_s / 9))
    assert m.cllr_min(b, s, **weights) == pytest.approx(m.cllr_min(big_b, big_s), abs=1e-9)


def test_ece_is_cllr_at_even_odds_and_below_neutral_when_calibrated():
    rng = np.random.default_rng(4)
    b, s = rng.normal(2, 2, 20_000) / m.LN10, rng.normal(-2, 2, 20_000) / m.LN10
    odds = np.linspace(-2, 2, 9)
    assert m.ece(b, s, [0.0])[0] == pytest.approx(m.cllr(b, s))
    assert (m.ece(b, s, odds) < m.ece_neutral(odds)).all()
    assert m.ece_neutral([0.0])[0] == pytest.approx(1.0)


def test_tippett_shares():
    x, b, s = m.tippett([0.0, 1.0], [-1.0, 0.0])
    assert x.tolist() == [-1, 0, 1]
    assert b.tolist() == [1, 1, 0.5]
    assert s.tolist() == [1, 0.5, 0]


def test_bad_arguments_are_refused():
    for call in (
        lambda: m.eer([], [1.0]),
        lambda: m.eer([np.nan], [1.0]),
        lambda: m.eer([1.0], [1.0], weights_bonafide=[0.0]),
        lambda: m.eer([1.0], [1.0], weights_bonafide=[1.0, 2.0]),
        lambda: m.macro_eer([1.0], [0.0, 0.0], ["a"]),
        lambda: m.bootstrap_interval(m.eer, [1.0], [0.0], ["a", "b"]),
        lambda: m.range_eer([]),
        lambda: merge_spans([(2.0, 1.0)]),
    ):
        with pytest.raises(ValueError):
            call()


def test_tandem_costs_by_hand():
    b, s = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    assert m.t_dcf(b, s, p_miss_asv=0.05, p_fa_asv=0.05, p_miss_spoof_asv=0.3) == 0
    with pytest.raises(ValueError):
        m.t_dcf(b, s, p_miss_asv=1.0, p_fa_asv=1.0, p_miss_spoof_asv=0.3)
    assert m.a_dcf([3.0, 4.0], [0.0, 1.0], [0.5, 2.0]) == 0
    # one spoof of two above all targets: 20 * 0.05 * 0.5, over the 0.9 of rejecting everyone
    assert m.a_dcf([3.0, 4.0], [0.0, 1.0], [0.5, 9.0]) == pytest.approx(0.5 / 0.9)


# intervals


def test_bootstrap_is_reproducible_fast_and_covers():
    b, s = two_gaussians(2, 1000)
    began = time.perf_counter()
    first = m.bootstrap_interval(m.eer, b, s, n=1000, seed=5)
    assert time.perf_counter() - began < 5
    assert first == m.bootstrap_interval(m.eer, b, s, n=1000, seed=5)
    assert first.low < norm.cdf(-1) < first.high
    assert first.low <= first.value <= first.high
    quick = m.eer_interval(b, s, n=1000, seed=5)
    assert quick.value == first.value
    assert quick.low == pytest.approx(first.low, abs=0.006) and quick.high == pytest.approx(
        first.high, abs=0.006
    )


def test_grouped_bootstrap_is_wider_where_a_group_moves_together():
    rng = np.random.default_rng(6)
    speakers = np.repeat(np.arange(20), 25)
    b = 2 + rng.normal(0, 1, 20)[speakers] + rng.normal(0, 0.3, 500)
    s = rng.normal(0, 1, 500)
    alone, grouped = m.eer_interval(b, s), m.eer_interval(b, s, speakers)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_bootstrap_passes_weights_on():
    b, s = two_gaussians(1, 200)
    heavy = np.where(b > 1, 1.0, 0.0)
    interval = m.bootstrap_interval(m.eer, b, s, n=20, weights_bonafide=heavy)
    assert interval.value == m.eer(b, s, weights_bonafide=heavy)[0]


def test_macro_eer_weighs_systems_not_clips():
    b = np.arange(100.0)
    easy, hard = np.full(300, -1.0), np.full(10, 1000.0)
    interval, table = m.macro_eer(b, np.concatenate((easy, hard)), ["easy"] * 300 + ["hard"] * 10, n=200)
    assert table == {"easy": 0.0, "hard": 1.0}
    assert interval.value == 0.5
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert np.isnan(m.macro_eer(b, easy, ["easy"] * 300, n=0)[0].low)


# localisation


def test_range_eer_of_a_perfect_localiser_depends_only_on_the_cut_frame():
    scores = np.where(np.arange(50) < 25, 1.0, -1.0)
    exact = m.FrameScores(scores, 0.02, [(0.5, 1.0)], 1.0)
    assert m.range_eer([exact])[0] == pytest.approx(0)
    # the true boundary is 10 ms into the first low frame: 10 ms of 510 ms bona fide are lost
    late = m.FrameScores(scores, 0.02, [(0.51, 1.0)], 1.0)
    assert m.range_eer([late])[0] == pytest.approx(0.5 * 0.01 / 0.51)


def test_range_eer_counts_time_not_frames():
    rng = np.random.default_rng(7)
    scores = rng.normal(size=200)
    spans = [(0.3, 1.1), (2.0, 3.33)]
    coarse = m.range_eer([m.FrameScores(scores, 0.02, spans, 4.0)])
    fine = m.range_eer([m.FrameScores(np.repeat(scores, 4), 0.005, spans, 4.0)])
    assert coarse == pytest.approx(fine)


@given(
    st.integers(1, 80),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)).map(sorted), max_size=5),
    st.floats(0.05, 3),
)
def test_durations_add_up(n, spans, duration):
    bona, spoof = m.FrameScores(np.zeros(n), 0.02, [tuple(x) for x in spans], duration).seconds()
    assert bona.sum() + spoof.sum() == pytest.approx(duration)
    expected = sum(max(0, min(b, duration) - a) for a, b in merge_spans([tuple(x) for x in spans]))
    assert spoof.sum() == pytest.approx(expected, abs=1e-9)


def test_range_f1():
    scores = np.where(np.arange(100) < 50, 1.0, -1.0)
    out = m.range_f1([m.FrameScores(scores, 0.01, [(0.25, 0.75)], 1.0)], 0.0)
    assert out == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert np.isnan(m.range_f1([m.FrameScores(np.ones(10), 0.1, [], 1.0)], 0.0)["f1"])
