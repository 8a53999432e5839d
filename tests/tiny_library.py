"""A library and a RAD folder for a tiny random detector, for tests only: they know nothing about speech."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from core.calibrate import Calibration
from core.library.build import Report, build
from core.library.records import read_source
from tests.factories import sound_bytes, voiced


def make_clips(folder: Path, n: int = 12, *, seconds: float = 2.2, first: int = 100) -> Path:
    """A folder of synthetic clips with a manifest: half bona fide of three speakers, half spoofed by two systems."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        spoof = i % 2
        name = f"clip{i:02d}.wav"
        sound = voiced(seconds + 0.3 * (i % 3), seed=first + i, pitch_hz=100 + 25 * (i // 2 % 3) + 60 * spoof)
        (folder / name).write_bytes(sound_bytes(sound))
        rows.append(
            {
                "file": name,
                "label": "spoof" if spoof else "bonafide",
                "system": f"system{i // 2 % 2}" * spoof,
                "family": "tts" if spoof else "human",
                "speaker": "" if spoof else f"speaker{i // 2 % 3}",
                "language": "en",
                "licence": "none",
                "source": f"source{i % 3}",
                "origin": f"https://example.org/{name}",
            }
        )
    write_manifest(folder, rows)
    return folder


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def fill(library: Path, clips: Path, detector: Any, **options: Any) -> Report:
    """Build a library from a folder."""
    report = Report()
    return build(library, read_source(clips, "auto", report.refused), detector, report=report, **options)


def make_rad(folder: Path, geometry: Any, k: int = 3) -> Path:
    """A RAD folder with random weights that fits a geometry."""
    from core.detectors.rad import CALIBRATIONS, WEIGHTS
    from models.rad import RAD, save_rad

    folder.mkdir(parents=True, exist_ok=True)
    save_rad(RAD.tiny(layers=geometry.n_layers, features=geometry.short), folder / WEIGHTS)
    for name in CALIBRATIONS.values():
        Calibration(1.0, 0.0, np.array([[0.9, 0.0], [1.1, 0.1]]), (-2.0, 2.0)).save(folder / name)
    eer = {"eer_pooled": {"value": 0.5, "low": 0.4, "high": 0.6}}
    attribution = {
        "macro_f1": 0.5,
        "chance_macro_f1": 0.5,
        "systems": 2,
        "unseen_called_none": 0.5,
        "seen_called_none": 0.5,
    }
    recall = {
        "layer": 0,
        "speaker_at_1": 0.5,
        "speaker_at_10": 0.6,
        "degraded_copy_finds_original_first": 0.8,
        "noisy_copy_finds_original_first": 0.9,
        "chance_at_1": 0.1,
        "chance_at_10": 0.4,
    }
    card = {
        "name": folder.name,
        "note": "random weights, for tests",
        "geometry_sha256": geometry.sha256,
        "recipe": {"k": k, "knn_k": k, "library": "bonafide"},
        "none_of_these": {"weights": [-1.0, 1.0], "bias": 0.0},
        "attribution": attribution,
        "recall": {
            "by_layer": [recall],
            "copies": [{"copy": "white-20", "windows": 10, "layer 0": 0.9}],
            "windows": 10,
            "speakers": 3,
            "note": "made up",
        },
        "ablations": dict.fromkeys(("rad", "without-retrieval", "nearest-neighbours"), eer),
        "files_sha256": {
            n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in (WEIGHTS, *CALIBRATIONS.values())
        },
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder
