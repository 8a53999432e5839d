"""A detector folder with a tiny random network, for tests only: it knows nothing about speech.

folder = make_detector(tmp_path / "tiny")
examination = examine(wav_bytes(speechlike(6.0)), model=folder)
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from core.calibrate import Calibration

N_FEATURES, LATENT = 32, 8


def make_reference(seed: int = 0) -> dict[str, np.ndarray]:
    """Reference arrays with every key of reference.safetensors and no limit that a test signal would
    reach.
    """
    rng = np.random.default_rng(seed)
    edges = np.linspace(-40, 60, 41)
    return {
        "entropy_band_bits": np.array([5.0, 25.0]),
        "entropy_hist_edges": edges,
        "entropy_hist_bonafide": np.full(40, 1 / 40),
        "entropy_hist_spoof": np.full(40, 1 / 40),
        "rate_distortion": rng.uniform(1, 2, (12, 2)),
        "rd_is_bonafide": np.arange(12) % 2,
        "dim_order": np.arange(LATENT),
        "dim_auc": np.linspace(0.7, 0.5, LATENT),
        "population_mean": np.zeros(N_FEATURES),
        "population_basis": np.eye(N_FEATURES)[:, :6],
        "population_scale": np.full(6, 1.0),
        "population_limit": np.array([1e6]),
        "low_entropy_bits": np.array([-1e6]),
        "window_conflict_limit": np.array([1e6]),
    }


def make_calibration(slope: float = 1.0, intercept: float = 0.0) -> Calibration:
    """A calibration with a small bootstrap spread and bounds of two either way."""
    rng = np.random.default_rng(1)
    lines = np.stack([slope + 0.05 * rng.normal(size=64), intercept + 0.05 * rng.normal(size=64)], axis=1)
    return Calibration(slope, intercept, lines, (-2.0, 2.0))


def make_detector(folder: Path, *, calibration: Calibration | None = None, **reference: np.ndarray) -> Path:
    """Write the folder; keyword arguments replace reference arrays. Returns the folder."""
    from models.finfoed import FInfoED, save_finfoed

    folder.mkdir(parents=True, exist_ok=True)
    save_finfoed(FInfoED.tiny(seed=0), folder / "model.safetensors")
    (calibration or make_calibration()).save(folder / "calibration.safetensors")
    arrays = {k: np.ascontiguousarray(v) for k, v in (make_reference() | reference).items()}
    save_file(arrays, folder / "reference.safetensors")
    (folder / "card.json").write_text(json.dumps({"name": folder.name, "note": "random weights, for tests"}))
    return folder
