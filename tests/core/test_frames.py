"""Laws of the time geometry: windows cover everything, tracks and conversions are inverse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frames import (
    Track,
    Window,
    format_time,
    frame_centre_s,
    frame_to_samples,
    frames_in,
    plan_windows,
    sample_to_frame,
    samples_to_seconds,
    seconds_to_samples,
)


@given(st.integers(0, 2_000_000), st.integers(1, 100_000), st.data())
def test_windows_cover_every_sample_in_order(n_samples, window, data):
    min_window = data.draw(st.integers(1, window))
    plan = plan_windows(n_samples, window=window, min_window=min_window)
    assert [w.index for w in plan] == list(range(len(plan)))
    assert all(0 < w.n_samples <= window for w in plan)
    covered = 0
    for each in plan:
        assert each.start <= covered < each.stop
        covered = each.stop
    assert covered == n_samples
    if n_samples >= min_window:
        assert all(w.n_samples >= min_window for w in plan)
    assert all(a.stop == b.start for a, b in itertools.pairwise(plan[:-1]))  # only the last may overlap


@pytest.mark.parametrize(("n", "expected"), [
    (0, []),
    (100, [(0, 100)]),
    (64_000, [(0, 64_000)]),
    (64_001, [(0, 64_000), (1, 64_001)]),
    (71_999, [(0, 64_000), (7_999, 71_999)]),
    (72_000, [(0, 64_000), (64_000, 72_000)]),
    (128_000, [(0, 64_000), (64_000, 128_000)]),
])
def test_known_plans(n, expected):
    assert [(w.start, w.stop) for w in plan_windows(n)] == expected


def test_impossible_plans_are_refused():
    for wrong in ({"n_samples": -1}, {"n_samples": 5, "window": 0},
                  {"n_samples": 5, "window": 4, "min_window": 5}):
        with pytest.raises(ValueError, match="cannot plan"):
            plan_windows(**wrong)


def test_window_counts_its_samples():
    assert Window(0, 10, 25).n_samples == 15


@given(st.integers(0, 10**9))
def test_samples_and_seconds_are_inverse(sample):
    assert seconds_to_samples(samples_to_seconds(sample)) == sample


@given(st.integers(0, 10**7), st.integers(1, 1_000))
def test_frames_tile_the_samples(frame, hop):
    start, stop = frame_to_samples(frame, hop)
    assert stop - start == hop
    assert sample_to_frame(start, hop) == sample_to_frame(stop - 1, hop) == frame
    assert frames_in(stop, hop) == frame + 1
    assert start / 16_000 < frame_centre_s(frame, hop) < stop / 16_000


@given(st.integers(1, 300), st.floats(0.001, 0.5), st.floats(0, 2))
def test_track_finds_each_frame_at_its_own_time(n, hop_s, start_s):
    track = Track("x", np.arange(n, dtype=float), hop_s, start_s)
    for index in (0, n // 2, n - 1):
        assert track.at(track.times_s[index]) == index
    assert track.at(-1e6) == 0 and track.at(1e6) == n - 1
    assert len(track) == n


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 200))
def test_slices_join_to_the_whole(n, cut_a, cut_b):
    track = Track("x", np.arange(n, dtype=float), 0.02, 0.01, "bits", "d")
    low, high = sorted((cut_a * 0.02, cut_b * 0.02))
    parts = [track.slice(-1, low), track.slice(low, high), track.slice(high, 99)]
    assert np.concatenate([p.values for p in parts]).tolist() == track.values.tolist()
    for part in parts:
        assert (part.name, part.unit, part.description, part.hop_s) == ("x", "bits", "d", 0.02)
        if len(part):
            assert track.at(part.start_s) == part.values[0]


def test_an_empty_track_has_no_value():
    with pytest.raises(ValueError, match="empty"):
        Track("x", np.zeros(0), 0.02).at(0.0)


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0:00.000"), (0.0004, "0:00.000"), (0.0006, "0:00.001"), (59.9996, "1:00.000"), (61.25, "1:01.250"),
    (3600, "60:00.000"), (-1.5, "-0:01.500"), (-0.0001, "0:00.000"), (float("nan"), "-:--.---"),
])
def test_times_read_as_minutes_seconds_milliseconds(seconds, text):
    assert format_time(seconds) == text
