"""ACoRL's folder with tiny random networks, for tests only: they know nothing about speech.

monkeypatch.setattr("core.complement.shipped.FOLDER", make_acorl(tmp_path / "acorl"))
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from core.complement.shipped import FINFOED, FUSION, HELD_OUT, NETWORKS, file_names
from core.validation import HeldOutScores
from tests.tiny_detector import make_calibration

CLIPS = 80


def held_out_rows(names: tuple[str, ...], seed: int = 0) -> HeldOutScores:
    """Scores of members that know something, each with errors of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(CLIPS):
        bonafide = i % 2 == 0
        row: dict[str, Any] = {"clip": f"clip-{i}", "label": "bonafide" if bonafide else "spoof", "score": rng.normal(),
                               "system": "human" if bonafide else f"system-{i % 5}", "source": f"source-{i % 4}",
                               "speaker": f"speaker-{i % 6}" if bonafide else "", "llr_log10": float(rng.normal())}
        row |= {f"score:{name}": float(rng.normal() + (1.0 if bonafide else -1.0)) for name in names}
        rows.append(row)
    return HeldOutScores.from_rows(rows)


def rate(value: float = 0.3) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "bona_fide": 40, "spoof": 40}


def figures() -> dict[str, Any]:
    return {"eer_pooled": rate(), "eer_macro": rate(0.28), "cllr": rate(0.8)}


def make_card(folder: Path) -> dict[str, Any]:
    """A card with every key that the page reads; its figures are made up, as the networks are."""
    fused = ["cepstra", "excitation", FINFOED, "alliance"]
    seeds = {str(s): figures() for s in range(3)}
    return {
        "name": "acorl-test", "fused": fused, "result": "Made up for a test.", "protocol": "None: made up.",
        "command": "none", "members": {n: figures() for n in fused[:3]}, "members_fused": figures(), "alliance": seeds,
        "plain_network": seeds,
        "fusion": {"acorl": seeds, "plain": seeds}, "late_fusion": {"acorl": seeds, "plain": seeds},
        "logistic_fusion": {"acorl": seeds, "plain": seeds},
        "four_plain_networks": figures(), "against_the_panel": {"panel": figures(), "panel_and_fusion": figures()},
        "acorl_less_plain": {str(s): {"value": 0.01, "low": -0.02, "high": 0.04} for s in range(3)},
        "eta": [{"eta": e, "alone": rate(), "fused": rate(), "r2_members_from_it": 0.2} for e in (0.0, 1.0)],
        "number_of_models": [{"models": n, "kind": k, "eer": 0.3, "low": 0.28, "high": 0.32}
                             for n, k in ((1, "members"), (2, "members"), (3, "members"), (4, "plain"), (4, "acorl"))],
        "cka": {"names": fused, "matrix": np.eye(4).tolist(), "windows": 100},
        "disagreement": {"rows": [{"share": 0.05, "limit": 1.0, "wrong_beyond": 0.5, "wrong_within": 0.2}]},
        "files_sha256": {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in file_names()},
    }


def make_acorl(folder: Path) -> Path:
    """Write the folder; returns it."""
    from models.acorl import VIEWS, Alliance, save_alliance

    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NETWORKS):
        first, rows = VIEWS[name]
        save_alliance(Alliance.tiny(seed, first, rows), folder / f"{name}.safetensors")
    for i, name in enumerate((*NETWORKS, FUSION)):
        make_calibration(slope=0.8 + 0.1 * i, intercept=0.1 * i - 0.1).save(folder / f"calibration-{name}.safetensors")
    fusion = {"weight": np.array([0.5, 1.0, -0.25, 0.75]), "bias": np.array([0.125])}
    save_file(fusion, str(folder / f"{FUSION}.safetensors"))
    held_out_rows((*NETWORKS, FINFOED)).write(folder / HELD_OUT)
    (folder / "card.json").write_text(json.dumps(make_card(folder)))
    return folder
