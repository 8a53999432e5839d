"""ACoRL's folder: networks, calibrations, score fusion, card and held-out scores, checked against the card's digests."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    from models.acorl import Alliance

FOLDER = Path(__file__).resolve().parents[2] / "models" / "weights" / "acorl-tiny"
NETWORKS = ("cepstra", "excitation", "alliance")
FINFOED, FUSION = "f-infoed", "fusion"
HELD_OUT = "validation.csv"
PANEL = "panel member: "  # prefix of the panel's members, here and in the default model's table of held-out scores


@dataclass(frozen=True, eq=False)
class Shipped:
    """What is installed. Hold ``lock`` around every use of ``networks``.

    fused: names of the members that the fusion adds up, in the order of ``weight`` [M]; score of the fusion: weight @
    scores + bias, which its calibration then turns into a log10 likelihood ratio.
    """

    networks: Mapping[str, Alliance]
    calibrations: Mapping[str, Calibration]  # by network, and of the fusion
    fused: tuple[str, ...]
    weight: np.ndarray
    bias: float
    card: Mapping[str, Any]
    content_sha256: str
    folder: Path
    lock: threading.RLock = field(default_factory=threading.RLock)


def file_names() -> tuple[str, ...]:
    """Every file of the folder but the card."""
    calibrations = (f"calibration-{name}.safetensors" for name in (*NETWORKS, FUSION))
    return (*(f"{name}.safetensors" for name in (*NETWORKS, FUSION)), *calibrations, HELD_OUT)


def installed() -> bool:
    """Whether the folder has a card and the alliance's weights."""
    return (FOLDER / "card.json").is_file() and (FOLDER / "alliance.safetensors").is_file()


def shipped() -> Shipped:
    """The installed one. Raises ModelUnavailable with one sentence."""
    if not installed():
        raise ModelUnavailable("The complementary members aren't installed; `python -m core acorl train` and `evaluate` "
                               "make them from a corpus.")
    return _load(FOLDER, (FOLDER / "card.json").stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(folder: Path, _stamp: int) -> Shipped:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from models.acorl import load_alliance

    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in file_names()}
        wrong = [name for name, digest in digests.items() if card["files_sha256"].get(name) != digest]
        if wrong:
            raise ValueError(f"{wrong[0]} is not the file its card names")
        networks = {name: load_alliance(folder / f"{name}.safetensors").requires_grad_(False) for name in NETWORKS}
        calibrations = {name: Calibration.load(folder / f"calibration-{name}.safetensors")
                        for name in (*NETWORKS, FUSION)}
        fusion = load_file(str(folder / f"{FUSION}.safetensors"))
        weight, fused = fusion["weight"].astype(np.float64), tuple(str(n) for n in card["fused"])
        if weight.shape != (len(fused),) or not np.isfinite(weight).all():
            raise ValueError("the fusion's weights don't fit the members that the card names")
        content = hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
        return Shipped(networks, calibrations, fused, weight, float(fusion["bias"][0]), card, content, folder)
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as problem:
        raise ModelUnavailable(f"The files of {folder.name} are damaged or missing ({problem}); fetch them "
                               "again.") from problem
