"""Tiny saved checkpoints of every family, and labelled clips they can tell apart. For tests only: they know nothing of
speech, only that one kind of noise is duller than the other.

The last layer of a random network is set, not trained: to the discriminant of what it reads for dull and white noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.aasist import AASIST
from models.classifiers import CLASSES, Classifier
from models.encoder import tiny_config
from tests.factories import sound_bytes

FAMILIES = ("aasist", "ast", "wav2vec2", "hubert", "wavlm")
RATE = 16_000
TYPES = {"ast": "audio-spectrogram-transformer"}


def clip(bonafide: bool, seed: int, seconds: float = 1.0) -> np.ndarray:
    """Dull noise for bona fide, white noise for spoof, float32 [n]."""
    rng = np.random.default_rng(2 * seed + bonafide)
    x = rng.standard_normal(round(seconds * RATE))
    if bonafide:
        x = np.convolve(x, np.ones(12) / 12, "same")
    return (0.1 * x / x.std()).astype(np.float32)


def labelled_folder(folder: Path, n: int = 10, *, seconds: float = 1.0, swapped: bool = False) -> Path:
    """``bonafide/`` and ``spoof/`` with n clips each; with ``swapped`` the labels lie."""
    for truth, name in ((True, "bonafide"), (False, "spoof")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            body = sound_bytes(clip(truth != swapped, 100 + i, seconds), RATE)
            (folder / name / f"{i}.wav").write_bytes(body)
    return folder


def save_tiny(folder: Path, family: str, *, bonafide_index: int = 1, gain: float = 4.0, told: bool = True,
              labels: tuple[str, str] = ("LABEL_0", "LABEL_1")) -> Path:
    """A checkpoint that tells the two noises apart, as its publisher would save it; returns what to load.

    told: False makes an output that follows nothing. gain: how far apart the logits of the two kinds are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wav = torch.from_numpy(np.stack([clip(truth, i, 1.0) for truth in (True, False) for i in range(12)]))
    if family == "aasist":
        network = AASIST.tiny()
        with torch.inference_mode():
            read = network.embed(wav[::2])
        _set(network.out_layer, read, bonafide_index, gain, told)
        path = folder / "tiny-aasist.safetensors"
        # windows of one second instead of four: tests have better things to wait for
        (folder / "tiny-aasist.earwitness.json").write_text('{"crop": {"policy": "tiled", "seconds": 1.0}}')
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(path))
        return path
    model = _transformers_model(family, labels)
    kind = TYPES.get(family, family)
    network = Classifier(model, kind, sample_rate_hz=RATE, normalise="feature-extractor", extractor={})
    last = model.classifier.dense if family == "ast" else model.classifier
    seen: list[torch.Tensor] = []
    handle = last.register_forward_hook(lambda _, given, __: seen.append(given[0].detach()))
    with torch.inference_mode():
        network(wav)
    handle.remove()
    _set(last, seen[0], bonafide_index, gain, told)
    model.save_pretrained(folder)
    return folder


def _transformers_model(family: str, labels: tuple[str, str]) -> torch.nn.Module:
    import transformers

    config_name, class_name, _ = CLASSES[TYPES.get(family, family)]
    own = {k: v for k, v in tiny_config(family).items() if k != "keep_layers"} | {"num_hidden_layers": 2}
    if family == "ast":
        own["max_length"] = 110
    else:
        # a group norm over time would take away the colour of a noise, which is all there is to tell
        own |= {"classifier_proj_size": 16, "feat_extract_norm": "layer", "conv_bias": True}
    config = getattr(transformers, config_name)(**own, id2label=dict(enumerate(labels)),
                                                label2id={name: i for i, name in enumerate(labels)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, class_name)(config).eval()


def _set(layer: torch.nn.Linear, read: torch.Tensor, bonafide_index: int, gain: float, told: bool) -> None:
    """Point the layer's two rows along the linear discriminant, with zero in the middle."""
    half = len(read) // 2
    dull, white = read[:half].mean(0), read[half:].mean(0)
    spread = torch.cat([read[:half] - dull, read[half:] - white])
    inner = spread.T @ spread / len(read)
    inner = inner + (1e-4 + 1e-2 * inner.diagonal().mean()) * torch.eye(len(dull))
    direction = torch.linalg.solve(inner, dull - white)
    direction = direction / (direction @ (dull - white)) if told else torch.zeros_like(dull)
    sign = torch.tensor([-1.0, 1.0] if bonafide_index == 1 else [1.0, -1.0])
    with torch.no_grad():
        layer.weight.copy_(gain / 2 * sign[:, None] * direction)
        layer.bias.copy_(-(layer.weight @ (dull + white) / 2))
