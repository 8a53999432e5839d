"""Degradations do what they claim, keep length and finiteness, and never look at a label."""

from __future__ import annotations

import numpy as np
import pytest

from core.training import augment, augment_chain
from tests.factories import voiced

X = voiced(2.0).astype(np.float32)


@pytest.mark.parametrize("step", [s for s, _ in augment_chain.steps()] + [augment.degrade])
def test_every_step_keeps_length_and_is_reproducible(step) -> None:
    a, b = (step(X, np.random.default_rng(5)) for _ in range(2))
    assert a.shape == X.shape and a.dtype == np.float32
    assert np.isfinite(a).all()
    assert np.array_equal(a, b)


@pytest.mark.parametrize("name", augment.EXACT_CODECS)
def test_codecs_come_back_aligned(name: str) -> None:
    y = augment.encode_decode(X, name, augment.CODECS[name][3][-1])
    assert augment.codec_delay(X, y) <= 2
    assert abs(np.corrcoef(X, y)[0, 1]) > 0.5


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_is_added_at_the_ratio_asked_for(snr_db: float) -> None:
    noise = augment.coloured_noise(len(X), 1.0, np.random.default_rng(0))
    added = augment.add_at_snr(X, noise, snr_db) - X
    assert 10 * np.log10(np.mean(X**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.01)


def test_delay_is_found() -> None:
    assert augment.codec_delay(X, np.concatenate([np.zeros(777, np.float32), X])) == 777


def test_level_lands_in_its_range_without_clipping() -> None:
    for seed in range(20):
        y = augment.level(X, np.random.default_rng(seed))
        assert np.abs(y).max() <= augment.PEAK + 1e-6
        assert 20 * np.log10(np.sqrt(np.mean(y**2))) < -13.9


def test_trimming_removes_silence_and_nothing_else() -> None:
    silence = np.zeros(16_000, np.float32)
    trimmed = augment.trim_silence(np.concatenate([silence, X, silence]))
    assert len(X) * 0.8 < len(trimmed) < len(X) + 2_500
