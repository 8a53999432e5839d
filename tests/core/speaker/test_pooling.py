"""Sums that add up: every threshold's pooling equals the encoder's own on the same frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.speaker.pooling import EPSILON, LEVELS, Moments, Sums, level_of
from models.speaker import VARIANCE_FLOOR, statistics


def frames(n: int, seed: int, logits: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(n, logits)).astype(np.float32),
            rng.uniform(size=n).astype(np.float32))


def sums_of(values, logits, gamma) -> Sums:
    sums = Sums(LEVELS, logits.shape[1], values.shape[1])
    sums.add(Moments.of(values, logits, logits.max(0)), level_of(gamma))
    return sums


def encoders_own(values, logits, weights) -> tuple[np.ndarray, np.ndarray]:
    tensors = (torch.from_numpy(np.asarray(x, np.float32))[None] for x in (values, logits, weights))
    return tuple(x[0].numpy() for x in statistics(*tensors))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000), st.integers(0, LEVELS - 1), st.sampled_from([1, 5]))
def test_every_threshold_is_the_encoders_pooling_of_the_kept_frames(n, seed, k, width):
    values, logits, gamma = frames(n, seed, width)
    sums, kept = sums_of(values, logits, gamma), level_of(gamma) >= k
    for flags, (means, deviations) in ((kept, sums.from_level()), (~kept, sums.below_level())):
        if flags.any():
            mean, deviation = encoders_own(values, logits, flags)
            np.testing.assert_allclose(means[k], mean, atol=1e-4)
            np.testing.assert_allclose(deviations[k], deviation, atol=3e-3)  # the root magnifies near its floor
        else:
            assert np.isnan(means[k]).all() and np.isnan(deviations[k]).all()


def test_sums_do_not_care_how_the_frames_were_divided():
    values, logits, gamma = frames(90, 1)
    whole, parts = sums_of(values, logits, gamma), Sums(LEVELS, 1, 5)
    for i in range(0, 90, 17):
        part = slice(i, i + 17)
        parts.add(Moments.of(values[part], logits[part], logits.max(0)), level_of(gamma[part]))
    for name in ("weight", "first", "second", "frames"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-5, atol=1e-6)
    assert parts.n_bytes == whole.n_bytes, "room doesn't grow with frames"


def test_merging_and_choosing_are_sums_of_groups():
    values, logits, gamma = frames(50, 2)
    sums = sums_of(values, logits, gamma)
    halves = sums.merged((np.arange(LEVELS) >= 50).astype(int))
    for half, groups in enumerate((np.arange(LEVELS) < 50, np.arange(LEVELS) >= 50)):
        for a, b in zip(halves.statistics(slice(half, half + 1)), sums.chosen(groups).statistics(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_levels_agree_with_the_thresholds_on_the_screen():
    for k in range(LEVELS):
        assert level_of(np.array([k / 100], np.float32))[0] == k, "a value on a threshold is kept by it"
    assert level_of(np.array([0.2949999, 1.0, 0.0])).tolist() == [29, 100, 0]


def test_the_least_variance_is_the_encoders():
    assert EPSILON == VARIANCE_FLOOR
    sums = Sums(1, 1, 5)
    assert sums.statistics() is None
    values, logits, _ = frames(1, 0)
    sums.add(Moments.of(values, logits, logits[0]), np.zeros(1, int))
    np.testing.assert_allclose(sums.statistics()[1], np.sqrt(EPSILON), rtol=1e-3)


def test_huge_logits_stay_finite():
    values, logits, _ = frames(6, 3)
    sums = Sums(1, 1, 5)
    for i in range(6):
        sums.add(Moments.of(values[i : i + 1], logits[i : i + 1] + 1e4 * i, logits[0]), np.zeros(1, int))
    assert all(np.isfinite(x).all() for x in sums.statistics())
    assert sums.frames.sum() == pytest.approx(6)
