"""Dropouts: found where they are, short ones bridged with what the sound around them predicts, nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dropouts import BRIDGED_S, bridged, dropouts

RATE = 16_000


def vowel(seconds: float = 1.0, pitch_hz: float = 120.0) -> np.ndarray:
    """Harmonics of one pitch, falling by 6 dB an octave."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * k * pitch_hz * t + k * k) / k for k in range(1, 20))).astype(np.float32)


def with_gap(x: np.ndarray, start: int, stop: int) -> np.ndarray:
    y = x.copy()
    y[start:stop] = 0
    return y


def test_sound_without_gaps_comes_back_as_the_same_array():
    x = vowel()
    assert bridged(x) is x
    assert bridged(np.zeros(RATE, np.float32)).any() == np.False_
    assert len(bridged(np.zeros(0, np.float32))) == 0


def test_a_lost_packet_of_a_steady_vowel_is_rebuilt():
    x = vowel()
    y = bridged(with_gap(x, 8_000, 8_320))
    error, before = np.sum((y - x)[8_000:8_320] ** 2), np.sum(x[8_000:8_320] ** 2)
    assert 10 * np.log10(before / error) > 15


@pytest.mark.parametrize(("length", "filled"), [(100, False), (160, True), (960, True), (1_100, False), (5_000, False)])
def test_only_gaps_of_eight_to_sixty_two_milliseconds_are_filled(length, filled):
    assert 0.008 * RATE <= 160 <= BRIDGED_S * RATE
    gapped = with_gap(vowel(), 8_000, 8_000 + length)
    assert bool(np.abs(bridged(gapped)[8_000 : 8_000 + length]).max() > 0.01) == filled


def test_a_pause_is_no_dropout():
    """Silence beside near silence, as between words, stays silence."""
    x = vowel()
    x[7_000:8_000] *= 1e-3
    x[8_000:8_320] = 0
    assert not list(dropouts(x, 0.1)) and bridged(x) is x


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 45), min_size=1, max_size=8), st.floats(0.05, 4.0))
def test_outside_the_gaps_nothing_changes_and_loudness_is_only_a_factor(seed, packets, gain):
    rng = np.random.default_rng(seed)
    x = vowel() + 0.01 * rng.standard_normal(RATE).astype(np.float32)
    x = np.where(np.abs(x) < 2e-3, np.float32(2e-3), x)  # above a 16-bit step at every gain: silence stays the same
    for packet in packets:
        x[packet * 320 : packet * 320 + 320] = 0
    y = bridged(x)
    assert np.isfinite(y).all() and y.dtype == x.dtype
    assert np.array_equal(y[x != 0], x[x != 0])
    assert np.abs(y).max() <= 1.2 * np.abs(x).max() + 1e-6
    assert np.allclose(bridged(np.float32(gain) * x), gain * y, atol=2e-3 * gain)


def test_gaps_are_found_where_they_are_across_blocks():
    x = np.tile(vowel(), 70)  # longer than a block of the search
    gapped = with_gap(with_gap(x, 5_000, 5_320), 1_100_000, 1_100_640)
    assert list(dropouts(gapped, 0.1)) == [(5_000, 5_320), (1_100_000, 1_100_640)]
