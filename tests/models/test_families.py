"""Each family against transformers' own forward pass, and loading from folders on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.fft
import torch

from models.encoder import EncoderUnavailable, load_encoder, tiny_config, tiny_encoder
from models.families.ast import ASTFrames, kaldi_filter_bank
from models.frontend import lfcc, linear_filters, power_spectrogram
from tests.models.test_encoder import adapted, noise

PRE_LN = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
CASES = [("wav2vec2", {}), ("wav2vec2", PRE_LN), ("hubert", {}), ("hubert", PRE_LN), ("wavlm", {}),
         ("wavlm", PRE_LN)]
IDS = ["wav2vec2", "xls-r", "hubert-base", "hubert-large", "wavlm-base", "wavlm-large"]
WAVEFORM = pytest.mark.parametrize(("family", "extra"), CASES, ids=IDS)


def transformers_model(family: str, extra: dict | None = None, seed: int = 0) -> torch.nn.Module:
    """A random model of the library itself, in evaluation mode."""
    import transformers

    config = {k: v for k, v in tiny_config(family).items() if k != "keep_layers"} | (extra or {})
    name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "ast": "AST",
            "whisper": "Whisper"}[family]
    if family == "whisper":
        config |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "vocab_size": 64,
                   "max_source_positions": config.pop("max_positions"), "pad_token_id": 0, "bos_token_id": 1,
                   "eos_token_id": 2, "decoder_start_token_id": 1}
    torch.manual_seed(seed)
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config)).eval()


def saved(tmp_path, family: str, extra: dict | None = None):
    """Save such a model as a folder; returns (folder, model)."""
    model = transformers_model(family, extra)
    folder = tmp_path / family
    model.save_pretrained(folder)
    assert list(folder.glob("*.safetensors")) and not list(folder.glob("*.bin"))
    return folder, model


@WAVEFORM
def test_hidden_states_equal_transformers(tmp_path, family, extra):
    folder, model = saved(tmp_path, family, extra)
    encoder, wav = load_encoder(folder), noise(2, 32_000)
    assert encoder.normalise == bool(extra)
    given = wav
    if encoder.normalise:
        given = (wav - wav.mean(1, keepdim=True)) / (wav.var(1, correction=0, keepdim=True) + 1e-7).sqrt()
    with torch.inference_mode():
        expected = model(given, output_hidden_states=True)
        hidden = encoder(wav)
    assert hidden.shape[1] == len(expected.hidden_states) == 5
    for level, states in enumerate(expected.hidden_states[:-1]):
        torch.testing.assert_close(hidden[:, level], states, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(hidden[:, -1], expected.last_hidden_state, atol=2e-5, rtol=1e-4)


@WAVEFORM
def test_loading_twice_gives_the_same_bits_and_truncation_a_prefix(tmp_path, family, extra):
    folder, _ = saved(tmp_path, family, extra)
    whole, again, cut = load_encoder(folder), load_encoder(folder), load_encoder(folder, keep_layers=2)
    wav = noise(1, 24_000)
    with torch.inference_mode():
        assert torch.equal(whole(wav), again(wav))
        assert torch.equal(cut(wav), whole(wav)[:, :3])
    assert len(cut.transformer_layers()) == 2 and not any(p.requires_grad for p in cut.parameters())


@WAVEFORM
def test_both_layer_norm_orders_take_hooks(family, extra):
    from models.encoder import build_encoder

    torch.manual_seed(0)
    encoder = build_encoder(family, tiny_config(family) | extra)
    assert encoder.pre_ln == bool(extra)
    wav = noise(2, 24_000)
    with torch.inference_mode():
        before = encoder(wav)
        adapted(encoder)
        assert torch.equal(before, encoder(wav))


def test_wavlm_position_bias_flows_through_hooks(monkeypatch):
    """Every layer must receive the first layer's bias, hooked or not; without it the states differ."""
    encoder, wav = tiny_encoder("wavlm"), noise(1, 24_000)
    received = []
    for layer in encoder.transformer_layers():
        layer.register_forward_pre_hook(lambda _m, _a, kw: received.append(kw["position_bias"]),
                                        with_kwargs=True)
    with torch.inference_mode():
        adapted(encoder)
        encoder(wav)
    assert received[0] is None and all(torch.equal(bias, received[1]) for bias in received[1:])
    assert received[1].shape == (4, 74, 74) and received[1].abs().sum() > 0


@pytest.mark.parametrize("stated", [True, False])
def test_normalisation_follows_the_preprocessor(tmp_path, stated):
    folder, _ = saved(tmp_path, "wavlm")
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": stated}))
    encoder, wav = load_encoder(folder), noise(1, 16_000)
    assert encoder.normalise is stated and encoder.config["normalise"] is stated
    with torch.inference_mode():
        louder = torch.allclose(encoder.features(wav), encoder.features(10.0 * wav + 0.1), atol=1e-3)
    assert louder or not stated


def test_ast_equals_transformers_at_full_length(tmp_path):
    folder, model = saved(tmp_path, "ast")
    encoder = load_encoder(folder)
    wav = noise(1, 400 + 160 * 405)  # 406 filter-bank frames, the whole position table
    with torch.inference_mode():
        hidden, features = encoder(wav), encoder.features(wav)
        expected = model(features.transpose(1, 2), output_hidden_states=True).hidden_states
    assert features.shape == (1, 32, 406) and hidden.shape == (1, 4, 40, 32)
    for level in range(4):
        tokens = expected[level][:, 2:]  # frequency-major
        pooled = tokens.reshape(1, 2, 40, 32).mean(1)
        torch.testing.assert_close(hidden[:, level], pooled, atol=1e-5, rtol=1e-4)


def test_ast_filter_bank_equals_the_feature_extractor():
    from transformers import ASTFeatureExtractor

    wav = noise(1, 20_000)
    extractor = ASTFeatureExtractor(max_length=123, num_mel_bins=128)
    expected = extractor(wav[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    ours = ASTFrames(tiny_config("ast") | {"num_mel_bins": 128}).features(wav).transpose(1, 2)
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=1e-3)
    assert kaldi_filter_bank(torch.zeros(1, 4_000), 128).isfinite().all()


@pytest.mark.parametrize("family", ["whisper", "wav2vec2", "hubert", "wavlm", "ast"])
def test_every_family_loads_from_its_folder(tmp_path, family):
    folder, _ = saved(tmp_path, family)
    encoder = load_encoder(folder, keep_layers=2)
    assert encoder.family == family and encoder.n_layers == 3
    with torch.inference_mode():
        assert torch.equal(encoder(noise(1, 16_000)), load_encoder(folder, keep_layers=2)(noise(1, 16_000)))
    with pytest.raises(ValueError, match="can't be kept"):
        load_encoder(folder, keep_layers=9)


def test_whisper_folder_equals_its_model(tmp_path):
    folder, model = saved(tmp_path, "whisper")
    encoder, wav = load_encoder(folder), noise(1, 64_000)
    with torch.inference_mode():
        expected = model.encoder(encoder.features(wav), output_hidden_states=True).hidden_states
        torch.testing.assert_close(encoder(wav), torch.stack(expected, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["whisper", "wav2vec2", "ast"])
def test_pickled_weights_are_refused(tmp_path, family):
    folder, model = saved(tmp_path, family)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(EncoderUnavailable, match="no safetensors"):
        load_encoder(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(EncoderUnavailable, match="can run code"):
        load_encoder(folder)
    with pytest.raises(EncoderUnavailable, match="not a safetensors file"):
        load_encoder(folder / "pytorch_model.bin")


def test_code_in_a_model_folder_is_never_run(tmp_path):
    folder, _ = saved(tmp_path, "wavlm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(config))
    with torch.inference_mode():
        assert load_encoder(folder)(noise(1, 8_000)).isfinite().all()


@pytest.mark.parametrize("family", ["whisper", "hubert"])
def test_damaged_and_incomplete_folders_give_one_sentence(tmp_path, family):
    from safetensors.torch import load_file, save_file

    folder, _ = saved(tmp_path, family)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderUnavailable, match="damaged"):
        load_encoder(folder)
    weights.write_bytes(whole)
    tensors = load_file(weights)
    name = next(n for n in tensors if n.startswith("encoder.layers.1.") and n.endswith("norm.weight"))
    del tensors[name]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(EncoderUnavailable, match="lacks 1 tensor"):
        load_encoder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(EncoderUnavailable, match="can't be read"):
        load_encoder(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EncoderUnavailable, match="'bert'"):
        load_encoder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(EncoderUnavailable, match=r"no config\.json"):
        load_encoder(folder)
    with pytest.raises(EncoderUnavailable, match="no model folder"):
        load_encoder(tmp_path / "nowhere" / "at" / "all")


def test_lfcc_equals_scipys_dct():
    wav = noise(2, 16_000)
    power = linear_filters(20).double() @ power_spectrogram(wav).double()
    expected = scipy.fft.dct(np.log(np.maximum(power.numpy(), 1e-10)), axis=1, norm="ortho")
    ours = tiny_encoder("lfcc").features(wav)
    assert ours.shape == (2, 60, 100)
    np.testing.assert_allclose(ours[:, :20].numpy(), expected, atol=2e-3)
    first = np.gradient(expected, axis=2)[..., 1:-1]  # central differences inside
    np.testing.assert_allclose(ours[:, 20:40, 1:-1].numpy(), first, atol=2e-3)
    assert torch.equal(ours[:, :20], lfcc(wav, n_filters=20, with_deltas=False))


def test_own_front_ends_have_the_promised_shape():
    for family in ("lfcc", "logmel"):
        encoder = tiny_encoder(family)
        assert (encoder.n_layers, encoder.n_features, encoder.hop_s) == (4, 64, 0.02)
        assert encoder.transformer_layers() == []
