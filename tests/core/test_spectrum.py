"""Laws of the player's pictures: bounded size, right place in time and frequency, nothing lost that sticks
out.
"""

from __future__ import annotations

import io
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from core.spectrum import CEILING_DB, FLOOR_DB, MAX_COLUMNS, N_ROWS, overview, pcm16, pool, pool_map

RATE = 16_000


def _tone(hz, seconds, level=0.1):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.3, 60.0, 600.0])
def test_size_is_bounded_whatever_the_length(seconds):
    seen = overview(np.zeros(int(seconds * RATE), np.float32))
    assert len(seen.peaks) == len(seen.image) <= MAX_COLUMNS
    assert seen.image.shape[1] == N_ROWS
    assert seen.column_s * len(seen.image) == pytest.approx(seconds)
    assert not seen.image.any() and not seen.peaks.any()


@pytest.mark.parametrize("hz", [500, 1000, 3000, 7000])
@pytest.mark.parametrize("seconds", [2.0, 90.0])
def test_a_tone_is_in_its_row_at_its_level(hz, seconds):
    image = overview(_tone(hz, seconds)).image
    middle = image[len(image) // 2]
    row = int(middle.argmax())
    assert abs((row + 0.5) * 62.5 - hz) <= 62.5
    level = FLOOR_DB + middle[row] / 255 * (CEILING_DB - FLOOR_DB)
    assert level == pytest.approx(-20.0, abs=2.0)


@given(st.integers(100, 200_000), st.data())
@settings(max_examples=40, deadline=None)
def test_a_single_click_is_never_lost_from_the_peaks(n, data):
    at = data.draw(st.integers(0, n - 1))
    samples = np.zeros(n, np.float32)
    samples[at] = -1.0
    seen = overview(samples)
    hit = np.flatnonzero(seen.peaks[:, 0] == -127)
    assert len(hit) == 1
    assert abs((hit[0] + 0.5) * seen.column_s - at / RATE) <= seen.column_s + 1 / RATE


def test_a_burst_is_at_its_time():
    samples = np.zeros(30 * RATE, np.float32)
    samples[12 * RATE : 13 * RATE] = _tone(2000, 1.0)
    seen = overview(samples)
    loud = np.flatnonzero(seen.image.max(axis=1) > 200) * seen.column_s
    assert loud.min() == pytest.approx(12.0, abs=0.05) and loud.max() == pytest.approx(13.0, abs=0.05)


def test_an_hour_takes_bounded_memory_and_little_time(tmp_path):
    path = tmp_path / "hour.raw"
    samples = np.memmap(path, np.float32, "w+", shape=3600 * RATE)
    samples[1_000_000:1_016_000] = _tone(1000, 1.0)
    tracemalloc.start()
    began = time.perf_counter()
    seen = overview(samples)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.peaks.max() > 10
    assert peak < 200e6
    assert seconds < 20


@given(st.integers(1, 5000), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_played_copy_is_a_wav_of_the_same_samples(n, seed):
    samples = np.random.default_rng(seed).uniform(-1.2, 1.2, n).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(pcm16(samples)), dtype="float32")
    assert rate == RATE and len(read) == n
    assert np.abs(read - np.clip(samples, -1, 1)).max() <= 1.5 / 32767


@given(st.integers(1, 40_000), st.integers(10, 5_000))
@settings(max_examples=40, deadline=None)
def test_pooling_keeps_extremes_and_bounds(n, most):
    values = np.random.default_rng(n).normal(size=n).astype(np.float32)
    pooled = pool(values, max_points=most)
    assert len(pooled.mean) <= most and len(pooled.mean) * pooled.factor >= n
    low, high = (pooled.mean, pooled.mean) if pooled.low is None else (pooled.low, pooled.high)
    assert low.min() == values.min() and high.max() == values.max()
    assert (low <= pooled.mean + 1e-5).all() and (pooled.mean <= high + 1e-5).all()


def test_pooling_leaves_gaps_as_gaps():
    values = np.array([1.0, 3.0, np.nan, np.nan, np.nan, 5.0])
    assert np.array_equal(pool(values, max_points=3).mean, [2.0, np.nan, 5.0], equal_nan=True)


@pytest.mark.parametrize("frames", [1, 10, 1536, 1537, 9000])
def test_map_pooling_averages_over_time(frames):
    values = np.repeat(np.arange(frames, dtype=np.float16)[:, None], 3, axis=1)
    pooled, factor = pool_map(values)
    assert pooled.shape[0] <= MAX_COLUMNS and pooled.shape[1] == 3
    assert pooled[0, 0] == pytest.approx(np.arange(min(frames, factor)).mean())
