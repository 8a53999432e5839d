"""AASIST: sizes of the paper, strict loading, filters that do what they say, any batch the same scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.aasist import AASIST, LIGHT_POOL_RATIOS, AASISTConfig, build_aasist, infer_config, sinc_filters

LIGHT = AASISTConfig((32, 24), (24, 32), pool_ratios=LIGHT_POOL_RATIOS)


def noise(rows: int, n: int = 16_000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("config", "parameters"), [(AASISTConfig(), 297_866), (LIGHT, 85_306)])
def test_the_published_sizes(config, parameters):
    """Parameter counts of the paper's table."""
    assert sum(p.numel() for p in AASIST(config).parameters()) == parameters


@pytest.mark.parametrize("config", [AASISTConfig(), LIGHT])
def test_a_configuration_is_read_off_its_tensors(config):
    network = AASIST(config)
    assert infer_config(network.state_dict()) == config
    rebuilt = build_aasist(network.state_dict())
    wav = noise(1, 9_000)
    with torch.inference_mode():
        torch.testing.assert_close(rebuilt(wav), network.eval()(wav))


def test_loading_is_strict():
    tensors = dict(AASIST.tiny().state_dict())
    for broken in ({k: v for k, v in tensors.items() if k != "master1"}, tensors | {"more": torch.zeros(1)},
                   tensors | {"master1": torch.zeros(1, 1, 7)}, {"x": torch.zeros(2)}):
        with pytest.raises(ValueError, match="AASIST"):
            build_aasist(broken)


def test_filters_pass_their_band_and_together_everything():
    filters = sinc_filters().squeeze(1).numpy()  # (70, 129)
    response = np.abs(np.fft.rfft(filters, 4_096))
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 71) / 2595) - 1)
    peaks = response.argmax(1) * 16_000 / 4_096
    wide = np.diff(edges) > 125  # narrower bands than the taps can resolve are blurred
    inside = (peaks >= edges[:-1] - 60) & (peaks <= edges[1:] + 60)
    assert inside[wide].all() and (np.diff(peaks) >= 0)[wide[1:]].all()
    middle = slice(128, 1_920)
    np.testing.assert_allclose(np.abs(np.fft.rfft(filters.sum(0), 4_096))[middle], 1.0, atol=0.02)


def test_rows_are_independent_and_gradients_reach_the_samples():
    network = AASIST.tiny()
    wav = noise(3).requires_grad_()
    together = network(wav)
    alone = torch.cat([network(row[None]) for row in wav])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    together[:, 1].sum().backward()
    assert wav.grad.abs().sum(1).min() > 0


def test_polarity_of_the_waveform_is_not_heard():
    """The encoder takes magnitudes of the filters' output, so an inverted cable changes nothing."""
    network = AASIST.tiny()
    with torch.inference_mode():
        torch.testing.assert_close(network(noise(1)), network(-noise(1)))


def test_too_short_is_said():
    with pytest.raises(ValueError, match="at least"):
        AASIST.tiny()(noise(1, 1_000))
