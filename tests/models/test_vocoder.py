"""Vocoders keep length and gradients, the codec codes, the pitch tracker tracks, files come back as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.vocoder import (
    KINDS,
    LogMel,
    VocoderConfig,
    VocoderError,
    build_vocoder,
    load_vocoder,
    save_vocoder,
    track_pitch,
)
from models.vocoder_codec import ResidualQuantiser
from models.vocoder_critic import Critic, adversarial_loss, critic_loss

TINY = VocoderConfig(channels=16, blocks=2, n_fft=320, hop=160, n_mels=20, codewords=8, quantisers=2, code=4)


def tiny(kind: str):
    torch.manual_seed(0)
    return build_vocoder(replace(TINY, kind=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1600, 4001])
def test_a_copy_has_the_length_of_its_original_and_gradients_reach_every_weight(kind: str, n: int) -> None:
    model = tiny(kind)
    wav = 0.1 * torch.randn(2, n)
    y = model(wav)
    assert y.shape == wav.shape and torch.isfinite(y).all()
    loss = y.square().mean() + (model.extra if model.extra is not None else 0.0)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_brings_the_same_network_back(kind: str, tmp_path: Path) -> None:
    model, wav = tiny(kind).eval(), 0.1 * torch.randn(1, 1600)
    save_vocoder(model, tmp_path / "v.safetensors")
    again = load_vocoder(tmp_path / "v.safetensors")
    with torch.inference_mode():
        torch.manual_seed(1)
        a = model(wav)
        torch.manual_seed(1)
        b = again(wav)
    assert torch.equal(a, b)
    assert not list(tmp_path.glob("*.part"))


def test_what_is_no_vocoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(VocoderError):
        load_vocoder(path)
    save_file({"x": torch.zeros(1)}, path, {"config": json.dumps({"kind": "istft"})})
    with pytest.raises(VocoderError):
        load_vocoder(path)
    save_vocoder(tiny("istft"), path)
    tensors = load_file(path)
    tensors.popitem()
    save_file(tensors, path, {"config": json.dumps({**TINY.__dict__, "kind": "istft"})})
    with pytest.raises(VocoderError):
        load_vocoder(path)
    for wrong in ({"kind": "magic"}, {"kind": "hifigan", "hop": 100}):
        with pytest.raises(VocoderError):
            build_vocoder(replace(TINY, **wrong))


@pytest.mark.parametrize("hz", [90.0, 150.0, 280.0])
def test_the_pitch_of_a_harmonic_sound_is_found_and_noise_has_none(hz: float) -> None:
    t = torch.arange(16_000) / 16_000
    sound = sum(torch.sin(2 * np.pi * hz * k * t) / k for k in range(1, 5))[None]
    pitch = track_pitch(sound, 160, 101)[0, 5:-5]
    assert torch.allclose(pitch, torch.full_like(pitch, hz), rtol=0.02)
    noise = track_pitch(torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)), 160, 101)
    assert (noise == 0).float().mean() > 0.9


def test_the_mel_of_a_tone_peaks_at_the_tone() -> None:
    mel = LogMel(1024, 256, 40)
    t = torch.arange(16_000) / 16_000
    low, high = (int(mel(torch.sin(2 * np.pi * hz * t)[None])[0].mean(-1).argmax()) for hz in (500.0, 3000.0))
    assert low < high


def test_a_quantiser_gives_codewords_and_more_stages_come_nearer() -> None:
    torch.manual_seed(0)
    quantiser = ResidualQuantiser(4, 64, 4).eval()
    x = torch.randn(2, 4, 50) * 0.5
    codes = quantiser.codes(x)
    assert codes.shape == (2, 4, 50) and codes.min() >= 0 and codes.max() < 64
    coded, loss = quantiser(x)
    assert torch.allclose(coded, quantiser.decode(codes), atol=1e-6) and loss.item() > 0
    with torch.no_grad():  # halved codebooks nest: each stage refines the one before
        for stage in range(4):
            quantiser.books[stage] = quantiser.books[0] * 0.5**stage
    errors = [float((quantiser(x, stages)[0] - x).square().mean()) for stages in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_gradients_pass_straight_through_the_code() -> None:
    quantiser = ResidualQuantiser(2, 8, 4).eval()
    x = torch.randn(1, 4, 10, requires_grad=True)
    quantiser(x)[0].sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_fewer_stages_cost_fewer_bits() -> None:
    codec = tiny("vq")
    full = codec.bits_per_second()
    codec.stages = 1
    assert full == 2 * codec.bits_per_second() == 2 * 3 * 100


def test_the_critics_losses_know_who_wins() -> None:
    critic = Critic(4)
    wav = 0.1 * torch.randn(2, 4000)
    real, made = critic(wav), critic(wav + 0.1 * torch.randn_like(wav))
    fool, match = adversarial_loss(real, made)
    assert float(critic_loss(real, made)) > 0 and float(match) > 0 and torch.isfinite(fool)
    assert float(adversarial_loss(real, real)[1]) == 0.0
    won = [[part[-1] * 0 + 5] for part in real]
    lost = [[part[-1] * 0 - 5] for part in real]
    assert float(critic_loss(won, lost)) == 0.0 < float(critic_loss(lost, won))
