"""Whisper's encoder against ``transformers`` and against a forward pass written from the paper."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.encoder import build_encoder, load_encoder, tiny_encoder
from tests.models.test_encoder import noise


def pair(keep_layers: int | None = None):
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    theirs = WhisperEncoder(WhisperConfig(d_model=48, encoder_layers=3, encoder_attention_heads=6,
                                          encoder_ffn_dim=96, attn_implementation="sdpa")).eval()
    config = {"d_model": 48, "encoder_layers": 3, "encoder_attention_heads": 6, "encoder_ffn_dim": 96,
              "keep_layers": keep_layers}
    ours = build_encoder("whisper", config)
    state = theirs.state_dict()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return ours, theirs


def test_full_input_equals_transformers():
    ours, theirs = pair()
    wav = noise(1, 480_000)
    with torch.inference_mode():
        hidden = ours(wav)
        expected = theirs(ours.features(wav), output_hidden_states=True).hidden_states
    assert hidden.shape == (1, 4, 1500, 48) and len(expected) == 4
    for level, states in enumerate(expected):
        torch.testing.assert_close(hidden[:, level], states, atol=1e-5, rtol=1e-5)


def test_truncation_keeps_the_first_layers():
    whole, _ = pair()
    cut, _ = pair(keep_layers=2)
    wav = noise(1, 40_000)
    with torch.inference_mode():
        assert torch.equal(cut(wav), whole(wav)[:, :3])
    assert cut.layer_norm is None and whole.layer_norm is not None


def test_against_an_independent_forward():
    """numpy, float64, attention by hand; 50 frames without any padding to 30 s."""
    ours, _ = pair(keep_layers=1)
    p = {name: value.double().numpy() for name, value in ours.state_dict().items()}
    mel = ours.features(noise(1, 16_000))
    with torch.inference_mode():
        hidden = ours.forward_features(mel)[0].numpy()
    erf = np.vectorize(math.erf)

    def gelu(x):
        return 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))

    def convolve(x, weight, bias, stride):
        x = np.pad(x, ((0, 0), (1, 1)))
        out = [np.tensordot(weight, x[:, t : t + 3], 2) + bias for t in range(0, x.shape[1] - 2, stride)]
        return np.stack(out, 1)

    def normed(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = gelu(convolve(mel[0].double().numpy(), p["conv1.weight"], p["conv1.bias"], 1))
    x = gelu(convolve(x, p["conv2.weight"], p["conv2.bias"], 2)).T + p["embed_positions.weight"][:50]
    np.testing.assert_allclose(hidden[0], x, atol=2e-5)
    a = normed(x, "layers.0.self_attn_layer_norm")
    name = "layers.0.self_attn.{}_proj.{}"
    q, k, v = (a @ p[name.format(n, "weight")].T + p.get(name.format(n, "bias"), 0.0) for n in "qkv")
    heads = []
    for h in range(6):
        s = slice(8 * h, 8 * h + 8)
        weights = np.exp(q[:, s] @ k[:, s].T / np.sqrt(8.0))
        heads.append(weights / weights.sum(1, keepdims=True) @ v[:, s])
    attended = np.concatenate(heads, 1)
    x = x + attended @ p["layers.0.self_attn.out_proj.weight"].T + p["layers.0.self_attn.out_proj.bias"]
    f = gelu(normed(x, "layers.0.final_layer_norm") @ p["layers.0.fc1.weight"].T + p["layers.0.fc1.bias"])
    x = x + f @ p["layers.0.fc2.weight"].T + p["layers.0.fc2.bias"]
    np.testing.assert_allclose(hidden[1], x, atol=2e-5)


def test_a_single_fp16_file_loads_cut_short(tmp_path):
    torch.manual_seed(1)
    whole = build_encoder("whisper", {"d_model": 128, "encoder_layers": 3, "encoder_attention_heads": 2,
                                      "encoder_ffn_dim": 256})
    file = tmp_path / "encoder.safetensors"
    save_file({name: value.half() for name, value in whole.state_dict().items()}, file)
    cut = load_encoder(file, keep_layers=2, max_positions=200)
    assert cut.n_layers == 3 and cut.embed_positions.weight.shape == (200, 128)
    assert cut.config["encoder_attention_heads"] == 2 and next(cut.parameters()).dtype == torch.float32
    wav = noise(1, 64_000)
    with torch.inference_mode():
        rounded = build_encoder("whisper", whole.config)
        rounded.load_state_dict({n: value.half().float() for n, value in whole.state_dict().items()})
        assert torch.equal(cut(wav), rounded(wav)[:, :3])
    with pytest.raises(ValueError, match="200 positions"):
        cut(noise(1, 64_320))


def test_odd_lengths_are_trimmed_not_padded():
    encoder = tiny_encoder("whisper")
    with torch.inference_mode():
        assert encoder(noise(1, 16_319)).shape[2] == 50 == encoder.n_frames(16_319)
        assert encoder.features(noise(1, 16_319)).shape == (1, 80, 100)


def test_whisper_alone_needs_no_transformers():
    code = ("import sys, torch; from models.encoder import tiny_encoder; "
            "tiny_encoder('whisper')(torch.randn(1, 8000)); assert 'transformers' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_mel_bands_are_refused():
    with pytest.raises(ValueError, match="80 mel"):
        build_encoder("whisper", {"num_mel_bins": 128})
