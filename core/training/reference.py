"""What a finished model is compared with on screen: the reference arrays that are shipped beside its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from core.calibrate import Calibration
from core.checks import window_conflict
from core.frames import plan_windows
from core.training.baselines import clean_view
from core.training.corpus import Clip
from models.finfoed import FInfoED, kl_to_standard_normal
from models.frontend import mel_at_encoder_rate
from models.registry import PARTS

LN2 = float(np.log(2.0))
COMPONENTS = 16
HISTOGRAM_BINS = 60


@torch.inference_mode()
def clip_statistics(model: FInfoED, samples: np.ndarray) -> dict:
    """Per clip: bits per frame (T,), mean bits per dimension (D,), KL, squared error, mean state (F,), window logits."""
    bits, dims, states, kl, error, logits, frames = [], [], [], [], [], [], 0
    for window in plan_windows(len(samples)):
        wav = torch.from_numpy(np.ascontiguousarray(samples[window.start : window.stop])).unsqueeze(0)
        features = model.features(wav)
        output = model.analyse(model.encode_features(features))
        entropy = output.entropy[0] / LN2
        bits.append(entropy.sum(-1).numpy())
        dims.append(entropy.sum(0).numpy())
        states.append(output.aggregated[0].sum(0).numpy())
        kl.append(float(kl_to_standard_normal(output.mu, output.logvar).sum()))
        difference = model.reconstruct(output.mu) - mel_at_encoder_rate(features)
        error.append(float(difference.square().mean(-1).sum()))
        logits.append(float(output.clip_logit))
        frames += entropy.shape[0]
    return {"bits": np.concatenate(bits), "dims": np.sum(dims, 0) / frames, "state": np.sum(states, 0) / frames,
            "kl": sum(kl) / frames, "error": sum(error) / frames, "logits": np.array(logits)}


def build_reference(model: FInfoED, folder: Path, clips: Sequence[Clip], calibration: Calibration,
                    frame_threshold: float) -> dict[str, np.ndarray]:
    """All arrays of ``reference.safetensors``, from the undegraded views of the corpus' own clips."""
    rows = [clip_statistics(model, clean_view(folder, c)) for c in clips]
    bonafide = np.array([c.bonafide for c in clips])
    real = np.concatenate([r["bits"] for r, b in zip(rows, bonafide, strict=True) if b])
    fake = np.concatenate([r["bits"] for r, b in zip(rows, bonafide, strict=True) if not b])
    edges = np.linspace(*np.quantile(np.concatenate([real, fake]), [0.001, 0.999]), HISTOGRAM_BINS + 1)
    dims = np.stack([r["dims"] for r in rows])
    auc = np.array([_auc(dims[bonafide, d], dims[~bonafide, d]) for d in range(dims.shape[1])])
    conflicts = [window_conflict(calibration.apply_many(r["logits"])[0]) for r in rows if len(r["logits"]) >= 2]
    return {
        "entropy_band_bits": np.quantile(real, [0.05, 0.95]),
        "entropy_hist_edges": edges,
        "entropy_hist_bonafide": np.histogram(real, edges)[0] / len(real),
        "entropy_hist_spoof": np.histogram(fake, edges)[0] / len(fake),
        "rate_distortion": np.array([[r["kl"], r["error"]] for r in rows]),
        "rd_is_bonafide": bonafide.astype(np.int8),
        "dim_order": np.argsort(-np.abs(auc - 0.5)).astype(np.int32),
        "dim_auc": auc,
        "low_entropy_bits": np.quantile(real, [0.01]),
        "window_conflict_limit": np.array([max(0.3, float(np.quantile(conflicts, 0.99)))]),
        "frame_threshold": np.array([frame_threshold]),
        **population(np.stack([r["state"] for r in rows])),
    }


def population(states: np.ndarray) -> dict[str, np.ndarray]:
    """Principal subspace of the clips' mean states (n, F) and the 99.5 % distance: the calibration population."""
    mean = states.mean(0)
    _, singular, basis = np.linalg.svd(states - mean, full_matrices=False)
    scale = singular[:COMPONENTS] / np.sqrt(len(states) - 1)
    distance = np.sqrt(((((states - mean) @ basis[:COMPONENTS].T) / scale) ** 2).sum(1))
    return {"population_mean": mean, "population_basis": np.ascontiguousarray(basis[:COMPONENTS].T),
            "population_scale": scale, "population_limit": np.array([float(np.quantile(distance, 0.995))])}


def _auc(a: np.ndarray, b: np.ndarray) -> float:
    """P(a > b) + P(a = b) / 2."""
    order = np.sort(b)
    return float((np.searchsorted(order, a, "left") + np.searchsorted(order, a, "right")).mean() / (2 * len(b)))


def write_folder(into: Path, calibration: Calibration, reference: dict[str, np.ndarray], card: dict) -> None:
    """calibration.safetensors, reference.safetensors and card.json, with the digests of all three files."""
    into.mkdir(parents=True, exist_ok=True)
    calibration.save(into / "calibration.safetensors")
    save_file({k: np.ascontiguousarray(v, dtype=np.float32 if v.dtype.kind == "f" else v.dtype)
               for k, v in reference.items()}, str(into / "reference.safetensors"))
    names = {"weights_sha256": "model"} | {f"{part}_sha256": part for part in PARTS
                                           if part != "model" and (into / f"{part}.safetensors").is_file()}
    card = card | {key: hashlib.sha256((into / f"{part}.safetensors").read_bytes()).hexdigest()
                   for key, part in names.items()}
    (into / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
