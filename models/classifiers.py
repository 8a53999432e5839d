"""Audio classifiers of ``transformers`` as networks from samples to logits: AST, wav2vec 2.0, HuBERT, WavLM heads.

    wav (B, N) -> resampled -> normalised, or Kaldi filter bank -> the library's own class -> logits (B, K)

Only the four classes listed here are ever built, from ``config.json`` and safetensors in a local folder; code,
kernels, adapters and pickles that a folder may bring are refused or ignored. All of it is torch, so gradients reach
the samples. Which logit means what, and windows over long recordings, are for ``core.detectors``.

References
----------
Gong et al. 2021, arXiv 2104.01778 (AST).  Baevski et al. 2020, arXiv 2006.11477 (wav2vec 2.0).
Hsu et al. 2021, arXiv 2106.07447 (HuBERT).  Chen et al. 2021, arXiv 2110.13900 (WavLM).
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.encoder import SAMPLE_RATE, EncoderUnavailable
from models.families.ast import DEVIATION, FRAME, MEAN, SHIFT, kaldi_filter_bank
from models.families.pretrained import load_transformers_model, read_config, weight_files

# model_type -> (configuration, class, attention); nothing else is built
CLASSES = {
    "audio-spectrogram-transformer": ("ASTConfig", "ASTForAudioClassification", "sdpa"),
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2ForSequenceClassification", "sdpa"),
    "hubert": ("HubertConfig", "HubertForSequenceClassification", "sdpa"),
    "wavlm": ("WavLMConfig", "WavLMForSequenceClassification", "eager"),
}
# bounds on a configuration, well beyond any published model
MOST = {"num_hidden_layers": 96, "hidden_size": 8_192, "intermediate_size": 65_536, "num_mel_bins": 512,
        "max_length": 16_384, "num_labels": 1_024}
MOST_ANY = 1_000_000
NORMALISE = ("none", "zero-mean-unit-variance", "feature-extractor")


def classifier_type(folder: Path) -> str:
    """``model_type`` of a folder whose class is on the list. Raises EncoderUnavailable."""
    kind = read_config(folder).get("model_type")
    if not isinstance(kind, str) or kind not in CLASSES:
        raise EncoderUnavailable(f"{folder.name} holds a model of type {str(kind)[:60]!r}, which is not supported; "
                                 f"supported are {', '.join(CLASSES)}.")
    return kind


def safe_config(folder: Path) -> Any:
    """The library's configuration object from ``config.json``, with only the fields that its own class declares.

    Names of code, attention kernels, quantisers and adapters are left out; sizes beyond reason are refused. Raises
    EncoderUnavailable.
    """
    import transformers

    raw, kind = read_config(folder), classifier_type(folder)
    config_name, _, attention = CLASSES[kind]
    config_class = getattr(transformers, config_name)
    known = set(config_class().to_dict()) - {"architectures", "auto_map", "dtype", "torch_dtype", "quantization_config",
                                             "transformers_version", "model_type", "adapter_attn_dim", "add_adapter"}
    kept = {k: v for k, v in raw.items() if k in known and not k.startswith("_")}
    for key, value in kept.items():
        _check_size(folder.name, key, value)
    try:
        config = config_class(**kept, attn_implementation=attention)
        n_labels = int(config.num_labels)
    except Exception as problem:  # the library's validation has many kinds of error
        raise EncoderUnavailable(f"The config.json in {folder.name} makes no sense to its family; fetch the model "
                                 "again.") from problem
    if not 1 <= n_labels <= MOST["num_labels"]:
        raise EncoderUnavailable(f"{folder.name} has {n_labels} classes, which no detector has.")
    if "Classification" not in "".join(map(str, raw.get("architectures") or ["Classification"])):
        raise EncoderUnavailable(f"{folder.name} holds {raw['architectures'][0]}, which doesn't classify recordings.")
    return config


def _check_size(name: str, key: str, value: Any) -> None:
    values = value if isinstance(value, list | tuple) else [value]
    if len(values) > 64 and key not in ("id2label", "label2id"):
        raise EncoderUnavailable(f"The config.json in {name} has a list {key} of {len(values)} entries; fetch the "
                                 "model again.")
    for number in values:
        if isinstance(number, int | float) and not isinstance(number, bool) and (
                not math.isfinite(number) or abs(number) > MOST.get(key, MOST_ANY)):
            raise EncoderUnavailable(f"The config.json in {name} has {key} = {number}, beyond any known model.")


def read_extractor(folder: Path) -> dict[str, Any]:
    """Fields of ``preprocessor_config.json``; empty where there is none. Raises EncoderUnavailable."""
    path = folder / "preprocessor_config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as problem:
        raise EncoderUnavailable(f"The preprocessor_config.json in {folder.name} can't be read.") from problem
    return data if isinstance(data, dict) else {}


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # a cached inference tensor could never take part in a gradient
def _resampling_filter(up: int, down: int) -> torch.Tensor:
    """Hann-windowed sinc filters, one per output phase: (up, 1, taps), taps reaching 16 zero crossings each way."""
    cut = 0.97 * min(1.0, up / down)
    half = math.ceil(16 / cut)
    t = torch.arange(-half, half + down + 1, dtype=torch.float64)[None] - torch.arange(up)[:, None] * down / up
    window = torch.cos(math.pi * t * cut / 32).square() * (t.abs() * cut <= 16)
    kernel = cut * torch.sinc(t * cut) * window
    return (kernel / kernel.sum(1, keepdim=True)).float()[:, None]


def resample(wav: torch.Tensor, rate: int, wanted: int) -> torch.Tensor:
    """wav (B, N) from one rate in Hz to another -> (B, ceil(N wanted / rate)), differentiable, gain one at 0 Hz."""
    if rate == wanted:
        return wav
    common = math.gcd(rate, wanted)
    up, down = wanted // common, rate // common
    kernel = _resampling_filter(up, down).to(wav)
    n, half = wav.shape[1], math.ceil(16 / (0.97 * min(1.0, up / down)))
    steps = -(-n // down)
    padded = F.pad(wav, (half, half + down + steps * down - n))
    phases = F.conv1d(padded[:, None], kernel, stride=down)[..., :steps]  # (B, up, steps)
    return phases.transpose(1, 2).flatten(1)[:, : -(-n * up // down)]


class Classifier(nn.Module):
    """One checkpoint, from samples at 16 kHz to its own logits."""

    def __init__(self, model: nn.Module, kind: str, *, sample_rate_hz: int, normalise: str,
                 extractor: dict[str, Any]) -> None:
        super().__init__()
        if normalise not in NORMALISE:
            raise ValueError(f"normalisation must be one of {', '.join(NORMALISE)}")
        self.model, self.kind, self.rate, self.normalise = model, kind, sample_rate_hz, normalise
        self.n_logits = int(model.config.num_labels)
        self.extractor = extractor

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> logits (B, K). Raises ValueError for input too short for a frame."""
        wav = resample(wav.float(), SAMPLE_RATE, self.rate)
        values = self._bank(wav) if self.kind.startswith("audio") else self._samples(wav)
        return self.model(input_values=values).logits

    def _samples(self, wav: torch.Tensor) -> torch.Tensor:
        own = bool(self.extractor.get("do_normalize", True))  # the library's default
        if self.normalise == "zero-mean-unit-variance" or (self.normalise == "feature-extractor" and own):
            return unit_variance(wav)
        return wav

    def _bank(self, wav: torch.Tensor) -> torch.Tensor:
        """Kaldi filter bank, cut or filled with zeros to the length of the position table: (B, S, bands)."""
        if wav.shape[1] < FRAME + SHIFT:
            raise ValueError("the input is shorter than two frames")
        config = self.model.config
        if self.normalise == "zero-mean-unit-variance":
            wav = unit_variance(wav)
        bank = kaldi_filter_bank(wav, config.num_mel_bins).transpose(1, 2)  # (B, S, bands)
        bank = F.pad(bank[:, : config.max_length], (0, 0, 0, max(0, config.max_length - bank.shape[1])))
        if self.normalise != "feature-extractor" or not self.extractor.get("do_normalize", True):
            return bank
        return (bank - float(self.extractor.get("mean", MEAN))) / (2 * float(self.extractor.get("std", DEVIATION)))


def unit_variance(wav: torch.Tensor) -> torch.Tensor:
    """Each row of wav (B, N) to zero mean and unit variance, as the feature extractors of wav2vec 2.0 do."""
    variance, mean = torch.var_mean(wav, dim=1, keepdim=True, correction=0)
    return (wav - mean) / (variance + 1e-7).sqrt()


def _check_room(folder: Path, model_class: type, config: Any) -> None:
    """Raises EncoderUnavailable where the configuration asks for more values than its weights hold, before any memory
    is taken for them."""
    from safetensors import safe_open

    try:
        held = 0
        for file in weight_files(folder):
            with safe_open(str(file), framework="pt") as handle:
                held += sum(math.prod(handle.get_slice(name).get_shape()) for name in handle.keys())  # noqa: SIM118
        with torch.device("meta"):
            wanted = sum(p.numel() for p in model_class(config).parameters())
    except EncoderUnavailable:
        raise
    except Exception as problem:  # the library's constructors have many kinds of error
        raise EncoderUnavailable(f"The files in {folder.name} are damaged or don't fit each other; fetch the model "
                                 "again.") from problem
    if wanted > 1.1 * held + 10_000:
        raise EncoderUnavailable(f"The config.json in {folder.name} describes a larger network than its weights hold; "
                                 "fetch the model again.")


def load_classifier(folder: Path, *, sample_rate_hz: int, normalise: str) -> Classifier:
    """A checkpoint in fp32 and evaluation mode, without gradients to its parameters.

    Raises EncoderUnavailable with one plain sentence: pickled or missing weights, adapters, a family that is not on
    the list, a filter bank at another rate than 16 kHz.
    """
    import transformers

    kind, extractor = classifier_type(folder), read_extractor(folder)
    weight_files(folder)
    if (folder / "adapter_config.json").exists():
        raise EncoderUnavailable(f"{folder.name} holds an adapter for another model; merge it into the model first.")
    if kind.startswith("audio") and sample_rate_hz != SAMPLE_RATE:
        raise EncoderUnavailable(f"The filter bank of this family is for 16000 Hz, not {sample_rate_hz} Hz; correct "
                                 "the card.")
    if kind.startswith("audio") and float(extractor.get("std") or DEVIATION) <= 0:
        raise EncoderUnavailable(f"The preprocessor_config.json in {folder.name} has a deviation that isn't positive.")
    config, model_class = safe_config(folder), getattr(transformers, CLASSES[kind][1])
    _check_room(folder, model_class, config)
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        model = load_transformers_model(model_class, folder, config)
    model = model.requires_grad_(False).eval()
    if not kind.startswith("audio"):  # or the library marks inputs as leaves
        getattr(model, model.base_model_prefix).feature_extractor._requires_grad = False
    return Classifier(model, kind, sample_rate_hz=sample_rate_hz, normalise=normalise, extractor=extractor).eval()
