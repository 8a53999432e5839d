"""Classifiers of transformers: the library's own logits, its own features, and nothing else from a folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models.classifiers import load_classifier, resample, safe_config, unit_variance
from models.encoder import EncoderUnavailable
from tests.core.detectors.tiny import clip, save_tiny

HEADS = ("ast", "wav2vec2", "hubert", "wavlm")


def load(folder, **options):
    return load_classifier(folder, **({"sample_rate_hz": 16_000, "normalise": "feature-extractor"} | options))


@pytest.mark.parametrize("family", HEADS)
def test_logits_are_the_librarys_on_its_own_features(tmp_path, family):
    import transformers

    folder = save_tiny(tmp_path / "m", family)
    classes = {"ast": ("ASTForAudioClassification", "ASTFeatureExtractor"),
               "wav2vec2": ("Wav2Vec2ForSequenceClassification", "Wav2Vec2FeatureExtractor"),
               "hubert": ("HubertForSequenceClassification", "Wav2Vec2FeatureExtractor"),
               "wavlm": ("WavLMForSequenceClassification", "Wav2Vec2FeatureExtractor")}
    options = {"num_mel_bins": 32, "max_length": 110} if family == "ast" else {"do_normalize": True}
    extractor = getattr(transformers, classes[family][1])(sampling_rate=16_000, **options)
    extractor.save_pretrained(folder)
    model = getattr(transformers, classes[family][0]).from_pretrained(folder).eval()
    wav = np.stack([clip(True, 50), clip(False, 51)])
    given = extractor(list(wav), sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        torch.testing.assert_close(load(folder)(torch.from_numpy(wav)), model(given).logits, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("family", HEADS[1:])
def test_older_names_of_the_positional_convolution_load(tmp_path, family):
    """Published checkpoints call the two parts of its weight normalisation weight_g and weight_v."""
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "m", family)
    wav = torch.from_numpy(clip(True, 5)[None])
    with torch.inference_mode():
        wanted = load(folder)(wav)
    older = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = load_file(folder / "model.safetensors")
    renamed = {next((k.replace(new, old) for new, old in older.items() if new in k), k): v for k, v in tensors.items()}
    assert set(renamed) != set(tensors)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with torch.inference_mode():
        torch.testing.assert_close(load(folder)(wav), wanted)


def test_normalisation_is_what_the_card_says(tmp_path):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    wav = torch.from_numpy(clip(True, 3)[None])
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    with torch.inference_mode():
        none, own, unit = (load(folder, normalise=n)(wav) for n in
                           ("none", "feature-extractor", "zero-mean-unit-variance"))
        torch.testing.assert_close(none, own)
        torch.testing.assert_close(unit, load(folder, normalise="none")(unit_variance(wav)))
    with pytest.raises(ValueError, match="normalisation"):
        load(folder, normalise="loud")


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_a_tone_and_its_length(rate):
    t = torch.arange(16_000) / 16_000
    out = resample(torch.sin(2 * torch.pi * 440 * t)[None], 16_000, rate)
    assert out.shape == (1, rate)
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate)
    edge = rate // 100
    torch.testing.assert_close(out[0, edge:-edge], wanted[edge:-edge], atol=2e-3, rtol=0)
    assert resample(torch.ones(1, 4_000), 16_000, rate)[0, edge : -edge].sub(1).abs().max() < 1e-5


def test_resampling_down_takes_out_what_would_fold():
    t = torch.arange(16_000) / 16_000
    assert resample(torch.sin(2 * torch.pi * 6_000 * t)[None], 16_000, 8_000)[0, 100:-100].abs().max() < 0.01


def test_a_checkpoint_without_its_head_is_no_detector(tmp_path):
    """The library would fill in random weights; nothing of the kind is ever shown as a detector."""
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "m", "wav2vec2")
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if not k.startswith("classifier")}, folder / "model.safetensors",
              metadata={"format": "pt"})
    with pytest.raises(EncoderUnavailable, match="lacks 2 tensors"):
        load(folder)


@pytest.mark.parametrize("lie", [
    {"model_type": "llama"}, {"model_type": None}, {"model_type": ["wav2vec2"]}, {"hidden_size": 10**9},
    {"num_hidden_layers": 10**6}, {"hidden_size": "wide"}, {"conv_dim": [16] * 10_000}, {"hidden_size": 33},
    {"layer_norm_eps": float("inf")}, {"architectures": ["Wav2Vec2ForCTC"]},
    {"hidden_size": 8_192, "intermediate_size": 65_536, "num_hidden_layers": 96},
    {"id2label": {str(i): "x" for i in range(5_000)}}, {"hidden_act": "os.system"},
])  # fmt: skip
def test_a_configuration_that_lies_is_refused(tmp_path, lie):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | lie))
    with pytest.raises(EncoderUnavailable) as refusal:
        load(folder)
    assert str(refusal.value).count(". ") == 0


def test_code_kernels_and_adapters_of_a_folder_are_not_used(tmp_path):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForAudioClassification": "evil.Evil"}, "_attn_implementation": "owner/kernel",
               "attn_implementation": "owner/kernel", "quantization_config": {"quant_method": "bitsandbytes"},
               "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')")
    read = safe_config(folder)
    assert read._attn_implementation == "sdpa" and not hasattr(read, "quantization_config")
    assert not getattr(read, "auto_map", None)
    load(folder)
    assert not (tmp_path / "ran").exists()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(EncoderUnavailable, match="adapter"):
        load(folder)


def test_a_filter_bank_at_another_rate_is_refused(tmp_path):
    with pytest.raises(EncoderUnavailable, match="16000"):
        load(save_tiny(tmp_path / "m", "ast"), sample_rate_hz=8_000)
