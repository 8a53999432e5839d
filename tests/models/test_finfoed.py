"""f-InfoED's known answers and laws: entropy, KL, their identity, what the classifier sees, adapters, files."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.training.losses import LossWeights, finfoed_loss, sample_latent
from models.encoder import tiny_config
from models.finfoed import (
    FInfoED,
    FInfoEDConfig,
    gaussian_entropy,
    guard,
    kl_to_standard_normal,
    load_finfoed,
    save_finfoed,
    time_moments,
)

LOGVAR = torch.linspace(-3, 2, 16, dtype=torch.float64)
MU = torch.linspace(-1, 1, 16, dtype=torch.float64)


@pytest.fixture(scope="module")
def model() -> FInfoED:
    return FInfoED.tiny(seed=1)


@pytest.fixture(scope="module")
def wav() -> torch.Tensor:
    return 0.1 * torch.randn(3, 16_000, generator=torch.Generator().manual_seed(2))


def test_entropy_is_the_gaussian_closed_form() -> None:
    normal = torch.distributions.Normal(MU, (0.5 * LOGVAR).exp())
    assert torch.allclose(gaussian_entropy(LOGVAR), normal.entropy(), atol=1e-12)


def test_entropy_agrees_with_monte_carlo() -> None:
    torch.manual_seed(0)
    normal = torch.distributions.Normal(MU, (0.5 * LOGVAR).exp())
    estimate = -normal.log_prob(normal.sample((200_000,))).mean(0).sum()
    assert abs(float(estimate - gaussian_entropy(LOGVAR).sum())) < 0.02


def test_kl_is_torchs() -> None:
    normal = torch.distributions.Normal(MU, (0.5 * LOGVAR).exp())
    standard = torch.distributions.Normal(torch.zeros_like(MU), torch.ones_like(MU))
    assert torch.allclose(kl_to_standard_normal(MU, LOGVAR), torch.distributions.kl_divergence(normal, standard))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-8, 3)), min_size=1, max_size=20))
def test_entropy_and_kl_are_two_views_of_one_posterior(pairs: list[tuple[float, float]]) -> None:
    mu, logvar = (torch.tensor(v, dtype=torch.float64) for v in zip(*pairs, strict=True))
    identity = (-kl_to_standard_normal(mu, logvar).sum() + 0.5 * len(pairs) * math.log(2 * math.pi)
                + 0.5 * (mu.square() + logvar.exp()).sum())
    assert float(gaussian_entropy(logvar).sum()) == pytest.approx(float(identity), abs=1e-9)


@given(st.floats(0.1, 10))
def test_scaling_the_latent_adds_d_log_a(a: float) -> None:
    scaled = gaussian_entropy(LOGVAR + 2 * math.log(a)).sum()
    assert float(scaled) == pytest.approx(float(gaussian_entropy(LOGVAR).sum()) + 16 * math.log(a), abs=1e-9)


def test_untrained_adapters_leave_the_encoder_bit_identical(model: FInfoED, wav: torch.Tensor) -> None:
    with torch.inference_mode():
        assert torch.equal(model.encode(wav, adapters=True), model.encode(wav, adapters=False))
        assert torch.equal(model.encode(wav), model.encoder.forward_features(model.features(wav)))


def test_trained_adapters_change_the_states_and_the_switch_restores_them(wav: torch.Tensor) -> None:
    model = FInfoED.tiny(seed=3)
    with torch.inference_mode():
        before = model.encode(wav)
        for adapter in [*model.adapters.attention, *model.adapters.feed_forward]:
            adapter.up.weight.normal_(std=0.1)
        assert not torch.allclose(model.encode(wav), before)
        assert torch.equal(model.encode(wav, adapters=False), before)
        assert model.adapters.enabled


def test_only_adapters_and_heads_learn(wav: torch.Tensor) -> None:
    model = FInfoED.tiny(seed=4).train()
    frozen = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    optimiser = torch.optim.SGD(model.head_parameters(), lr=0.1)
    mel = model.features(wav)
    output = model.analyse(model.encode_features(mel))
    loss, _ = finfoed_loss(model, output, mel, torch.tensor([1.0, 0.0, 1.0]),
                           torch.ones(3, output.frame_logit.shape[1]), LossWeights(), 0.5)
    loss.backward()
    optimiser.step()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert model.adapters.attention[0].up.weight.grad.abs().sum() > 0
    assert all(torch.equal(v, frozen[k]) for k, v in model.encoder.state_dict().items())


def _scores(model: FInfoED, mu: torch.Tensor, logvar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    seen = {"entropy": gaussian_entropy(logvar), "mu": mu}[model.config.head]
    return model.classifier(seen)


def test_mu_never_reaches_the_classifier(wav: torch.Tensor) -> None:
    model = FInfoED.tiny(seed=5)
    latent = model.config.latent
    with torch.inference_mode():
        states = model.encode(wav)
        before = model.analyse(states)
        order = torch.randperm(latent)
        weight, bias = model.bottleneck.output.weight, model.bottleneck.output.bias
        weight[:latent], bias[:latent] = weight[:latent][order] * 3.0, bias[:latent][order] + 1.0  # mu's own rows
        after = model.analyse(states)
    assert not torch.allclose(before.mu, after.mu)
    assert torch.equal(before.clip_logit, after.clip_logit)
    assert torch.equal(before.frame_logit, after.frame_logit)


def test_constant_variance_means_constant_score(wav: torch.Tensor) -> None:
    model = FInfoED.tiny(seed=6)
    with torch.inference_mode():
        model.bottleneck.output.weight[model.config.latent :] = 0.0
        clips = model.analyse(model.encode(wav)).clip_logit
    assert torch.allclose(clips, clips[:1].expand_as(clips))


def test_reparameterised_mean_has_unit_gradient() -> None:
    model = FInfoED.tiny(seed=7)
    output = model.analyse(model.encode(0.1 * torch.randn(1, 8_000)))
    mu = output.mu.detach().requires_grad_(True)
    z = sample_latent(type(output)(mu, output.logvar.detach(), *[None] * 4))
    z.sum().backward()
    assert torch.equal(mu.grad, torch.ones_like(mu))


def test_heads_of_the_ablations_see_what_they_name(wav: torch.Tensor) -> None:
    for head, width in (("mu", 8), ("mean", 32)):
        config = FInfoEDConfig(encoder=tiny_config("whisper"), adapter_rank=0, latent=8, hidden=16, channels=12,
                               head=head)
        model = FInfoED(config).eval()
        assert model.classifier.norm.num_features == width
        assert model.analyse(model.encode(wav)).clip_logit.shape == (3,)
    with pytest.raises(ValueError, match="head must be"):
        FInfoED(FInfoEDConfig(encoder=tiny_config("whisper"), head="magic"))


def test_a_file_brings_the_same_network_back(tmp_path, wav: torch.Tensor) -> None:
    model = FInfoED.tiny(seed=8)
    save_finfoed(model, tmp_path / "m.safetensors")
    again = load_finfoed(tmp_path / "m.safetensors")
    save_finfoed(again, tmp_path / "n.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()
    with torch.inference_mode():
        a, b = (m.analyse(m.encode(wav)).clip_logit for m in (model, again))
    assert torch.allclose(a, b, atol=0.02)  # fp16 on disk


def test_a_foreign_file_is_refused(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(ValueError, match="not an f-InfoED file"):
        load_finfoed(tmp_path / "x.safetensors")


def test_the_guard_makes_the_top_band_unhearable() -> None:
    mel = torch.randn(2, 80, 30)
    other = mel.clone()
    other[:, 77:] = 5.0
    assert torch.equal(guard(mel, 3), guard(other, 3))
    assert torch.equal(guard(mel, 3)[:, :77], mel[:, :77])
    assert guard(mel, 0) is mel


def test_moments_of_a_constant_map() -> None:
    moments = time_moments(torch.full((1, 2, 50), 3.0))
    assert torch.allclose(moments[0, :2], torch.full((2,), 3.0))
    assert float(moments[0, 2:].max()) < 0.01


def test_shipped_bottleneck_has_not_collapsed() -> None:
    """KL per frame of the shipped model on speech-like sound stays well above zero, and its adapters do something."""
    from models.registry import DEFAULT_MODEL, WEIGHTS
    from tests.factories import voiced

    model = load_finfoed(WEIGHTS / DEFAULT_MODEL / "model.safetensors")
    sound = torch.from_numpy(voiced(3.0)).unsqueeze(0)
    with torch.inference_mode():
        on, off = (model.analyse(model.encode(sound, adapters=a)) for a in (True, False))
    assert float(kl_to_standard_normal(on.mu, on.logvar).sum(-1).mean()) > 1.0
    assert not torch.allclose(on.entropy, off.entropy)
