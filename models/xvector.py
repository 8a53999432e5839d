"""Speaker encoders of others: x-vector checkpoints of ``transformers`` (WavLM, UniSpeech-SAT, wav2vec 2.0), one call.

    wav (n,) at 16 kHz -> windows of at most 10 s -> the checkpoint's own embedding of each -> their mean, of length 1

Only ``config.json``, ``preprocessor_config.json`` and safetensors are read; code in the folder is never run. Such an
encoder says how like two sounds are. It has no calibration here, and what a cosine of it means is for its user to know.

Reference
---------
Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", ICASSP; the heads are those of
``transformers`` (time-delay layers, mean and deviation over time, two linear layers).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models.encoder import EncoderUnavailable
from models.families.pretrained import find_local, load_transformers_model, read_config, read_normalise, weight_files

SAMPLE_RATE = 16_000
LONGEST, SHORTEST = 10 * SAMPLE_RATE, SAMPLE_RATE  # samples of a window; shorter sounds are repeated
CLASSES = {"wavlm": "WavLMForXVector", "unispeech-sat": "UniSpeechSatForXVector", "wav2vec2": "Wav2Vec2ForXVector"}


class XVectorEncoder(nn.Module):
    """A loaded checkpoint. ``name``: of its folder, or its hub id; ``sha256``: of its weights."""

    def __init__(self, model: nn.Module, name: str, sha256: str, normalise: bool) -> None:
        super().__init__()
        self.model, self.name, self.sha256, self.normalise = model, name, sha256, normalise

    @torch.inference_mode()
    def embed(self, samples: np.ndarray) -> np.ndarray:
        """Sound float32 (n,) at 16 kHz, n > 0 -> embedding (D,) of length 1, NaN for digital silence.

        Raises ValueError for no samples.
        """
        if not len(samples):
            raise ValueError("there are no samples to listen to")
        samples = np.resize(samples, SHORTEST) if len(samples) < SHORTEST else samples
        parts = np.array_split(np.asarray(samples, np.float32), -(-len(samples) // LONGEST))
        total = sum(len(part) * self._window(torch.from_numpy(np.ascontiguousarray(part))) for part in parts
                    if np.any(part))
        return F.normalize(total, dim=0).numpy() if torch.is_tensor(total) else np.full(self.width, np.nan, np.float32)

    @property
    def width(self) -> int:
        return int(self.model.config.xvector_output_dim)

    def _window(self, wav: torch.Tensor) -> torch.Tensor:
        if self.normalise:
            variance, mean = torch.var_mean(wav, correction=0)
            wav = (wav - mean) / (variance + 1e-7).sqrt()
        device = next(self.model.parameters()).device
        return F.normalize(self.model(wav[None].to(device)).embeddings[0].float().cpu(), dim=0)


def load_xvector(path_or_hub_id: str | Path, *, allow_download: bool = False) -> XVectorEncoder:
    """A checkpoint from a local folder, or by hub id where it is on this machine or may be fetched.

    Raises EncoderUnavailable with a sentence for the user: no such folder, another kind of model, one without the head,
    pickled or damaged weights.
    """
    import transformers

    folder = find_local(path_or_hub_id, allow_download=allow_download)
    if not folder.is_dir():
        raise EncoderUnavailable(f"{folder.name} is a file; give the model's folder, with its config.json.")
    kind = read_config(folder).get("model_type")
    if kind not in CLASSES:
        raise EncoderUnavailable(f"{folder.name} holds a model of type {str(kind)[:60]!r}; speakers can be compared by "
                                 f"x-vector models of type {', '.join(CLASSES)}.")
    model_class = getattr(transformers, CLASSES[kind])
    try:
        config = model_class.config_class.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise EncoderUnavailable(f"The config.json in {folder.name} is not a model's; fetch the model again.") from error
    model = load_transformers_model(model_class, folder, config)
    normalise = read_normalise(folder)
    normalise = getattr(config, "feat_extract_norm", "") == "layer" if normalise is None else bool(normalise)
    digest = hashlib.sha256()
    for file in weight_files(folder):
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    local = Path(path_or_hub_id).expanduser().is_dir()  # a fetched model's folder is named by its revision
    name = folder.name if local else str(path_or_hub_id)
    return XVectorEncoder(model.eval().requires_grad_(False), name, digest.hexdigest(), normalise)
