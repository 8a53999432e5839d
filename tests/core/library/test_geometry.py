"""The frozen map: what block means and whitening promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.library.geometry import Geometry, LibraryError, block_means, encoder_digest, fit_geometry, unit, without
from core.library.nuisance import noisy


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_block_means_average_to_the_whole_mean_where_blocks_fit(blocks, tau, seed):
    x = np.random.default_rng(seed).normal(size=(2, blocks * tau, 5))
    assert block_means(x, tau).shape == (2, blocks, 5)
    np.testing.assert_allclose(block_means(x, tau).mean(1), x.mean(1))


def test_blocks_of_one_frame_change_nothing():
    x = np.random.default_rng(0).normal(size=(3, 17, 4))
    np.testing.assert_array_equal(block_means(x, 1), x)


@given(st.floats(0.01, 100.0))
def test_scaling_leaves_directions_alone(factor):
    x = np.random.default_rng(0).normal(size=(6, 9))
    np.testing.assert_allclose(unit(factor * x), unit(x), rtol=1e-6)
    np.testing.assert_array_equal(unit(np.zeros(4)), np.zeros(4))


def test_the_fitted_map_whitens():
    rng = np.random.default_rng(1)
    means = rng.normal(size=(200, 2, 12)) @ rng.normal(size=(12, 12)) + 50
    g = fit_geometry(means, "e", vector=8, short=4)
    for layer in range(2):
        y = (means[:, layer] - g.mean[layer]) @ g.basis[layer]
        np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(8), atol=0.05)


def test_the_way_that_noise_moves_everything_is_left_out_and_nothing_else():
    rng = np.random.default_rng(3)
    basis, way = rng.normal(size=(12, 8)).astype(np.float32), rng.normal(size=12)
    nuisance = np.outer(rng.normal(size=50), way)
    left = without(basis, nuisance, 1)
    assert np.abs(nuisance @ left).max() < 1e-4 * np.abs(nuisance @ basis).max()
    other = rng.normal(size=12)
    gone, kept = way @ basis, other @ left
    assert kept @ gone == pytest.approx(0, abs=1e-4 * np.linalg.norm(kept) * np.linalg.norm(gone))
    expected = other @ basis - (other @ basis @ gone) / (gone @ gone) * gone
    np.testing.assert_allclose(kept, expected, atol=1e-4)


def test_copies_shifted_by_noise_find_their_originals_on_a_map_that_knows_the_noise():
    rng = np.random.default_rng(4)
    clean = rng.normal(size=(150, 1, 20))
    shift = np.outer(rng.uniform(3, 9, 150), rng.normal(size=20))[:, None]  # one direction, of different length
    first = {}
    for name, nuisance in (("blind", None), ("knows", shift[:75])):
        g = fit_geometry(clean[:75], "e", vector=20, nuisance=nuisance, removed=1)
        a, b = (unit(g.project(x[75:, 0][None])[0]) for x in (clean, clean + shift))
        first[name] = np.mean((b @ a.T).argmax(1) == np.arange(75))
    assert first["blind"] < 0.5 < 0.98 < first["knows"]


@given(st.integers(0, 50), st.integers(400, 5000))
def test_added_noise_lies_10_to_30_db_below(seed, n):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).astype(np.float32)
    added = noisy(x, rng) - x
    ratio_db = 10 * np.log10(np.square(x).mean() / np.square(added).mean())
    assert 9.9 < ratio_db < 30.1
    assert not noisy(np.zeros(n, np.float32), rng).any(), "silence stays silence"


def test_a_window_is_measured_alike_in_whatever_batch():
    rng = np.random.default_rng(2)
    g = fit_geometry(rng.normal(size=(40, 2, 12)), "e", vector=8, short=4, tau=5, blocks=6)
    states = rng.normal(size=(5, 2, 30, 12)).astype(np.float32)
    together = g.measure(states)
    for i in range(5):
        alone = g.measure(states[i : i + 1])
        np.testing.assert_array_equal(alone.vectors[0], together.vectors[i])
        np.testing.assert_array_equal(alone.short[0], together.short[i])
    assert together.blocks.tolist() == [6] * 5
    np.testing.assert_allclose(np.linalg.norm(together.vectors, axis=-1), 1, rtol=1e-6)
    shorter = g.measure(states[:, :, :12])
    assert shorter.blocks.tolist() == [2] * 5 and not shorter.short[:, :, 2:].any()


def test_the_digest_tells_maps_apart_and_survives_saving(tmp_path):
    means = np.random.default_rng(0).normal(size=(30, 2, 6))
    g = fit_geometry(means, "encoder")
    g.save(tmp_path / "g.safetensors")
    assert Geometry.load(tmp_path / "g.safetensors").sha256 == g.sha256
    assert len({g.sha256, fit_geometry(means, "other").sha256, fit_geometry(means, "encoder", tau=10).sha256}) == 3
    (tmp_path / "g.safetensors").write_bytes(b"nonsense")
    with pytest.raises(LibraryError, match=r"g\.safetensors"):
        Geometry.load(tmp_path / "g.safetensors")


def test_the_encoders_digest_ignores_adapters_and_heads(detector):
    import torch

    before = encoder_digest(detector)
    with torch.no_grad():
        for name, value in detector.network.named_parameters():
            if not name.startswith("encoder."):
                value.add_(1.0)
        assert encoder_digest(detector) == before
        weight = next(p for n, p in detector.network.named_parameters() if n.startswith("encoder."))
        weight.add_(1e-3)
        assert encoder_digest(detector) != before
        weight.sub_(1e-3)
        for name, value in detector.network.named_parameters():
            if not name.startswith("encoder."):
                value.sub_(1.0)
