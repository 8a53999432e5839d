"""Copies by published vocoders: the generator, its weights, the spectrogram it hears, what is said without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm

from core.training import copies, copies_published
from core.training.copies_published import HOP, log_mel
from models.vocoder_published import HiFiGAN, plain_weights

SMALL = {"strides": (8, 8, 2, 2), "channels": 32, "kernels": (3, 5)}


def test_a_wave_is_256_samples_per_frame_and_within_full_scale():
    wave = HiFiGAN(**SMALL).eval()(torch.randn(2, 80, 7))
    assert wave.shape == (2, 1, 7 * HOP) and wave.abs().max() <= 1


def test_weight_normalisation_worked_in_gives_the_same_layer():
    torch.manual_seed(0)
    plain, normed = nn.Conv1d(3, 5, 3), weight_norm(nn.Conv1d(3, 5, 3))
    with torch.no_grad():
        normed.weight_g.mul_(1.7)
    plain.load_state_dict(plain_weights(normed.state_dict()))
    x = torch.randn(2, 3, 11)
    torch.testing.assert_close(plain(x), normed(x))


def test_tensors_without_normalisation_stay_as_they_are():
    tensors = HiFiGAN(**SMALL).state_dict()
    assert all(torch.equal(tensors[k], v) for k, v in plain_weights(tensors).items())


@pytest.mark.parametrize("frames", [4, 9])
def test_the_spectrogram_has_a_frame_per_hop_and_moves_with_the_level(frames):
    x = np.random.default_rng(0).standard_normal(frames * HOP).astype(np.float32) * 0.1
    mel = log_mel(x)
    assert mel.shape == (1, 80, frames)
    torch.testing.assert_close(log_mel(2 * x), mel + np.log(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("n", [400, 16_000, 16_001])
def test_a_copy_is_as_long_as_its_original(monkeypatch, n):
    network = HiFiGAN(**SMALL).eval()
    monkeypatch.setattr(copies_published, "_vocoder", lambda name: lambda mel: network(mel)[0, 0].detach().numpy())
    x = 0.1 * np.random.default_rng(1).standard_normal(n).astype(np.float32)
    copy = copies.COPIERS["hifigan-universal"](x, np.random.default_rng(0))
    assert copy.shape == x.shape and copy.dtype == np.float32 and np.isfinite(copy).all() and np.abs(copy).max() <= 1


@pytest.mark.parametrize("name", sorted(copies_published.WEIGHTS))
def test_without_its_package_a_copier_says_how_to_get_it(monkeypatch, name):
    monkeypatch.setattr(copies_published.importlib.util, "find_spec", lambda package: None)
    assert "pip install" in copies.absent(name)
    copies_published._vocoder.cache_clear()
    with pytest.raises(RuntimeError, match="pip install"):
        copies.COPIERS[name](np.zeros(8_000, np.float32), np.random.default_rng(0))
