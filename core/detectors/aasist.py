"""AASIST and AASIST-L from a safetensors file with the published parameter names.

The published networks hear 64,600 samples at 16 kHz, shorter files repeated, samples as they are; by their convention
logit 1 is bona fide, which is a suggestion here until known clips confirm it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.detectors.card import Card, card_beside
from core.detectors.loading import Inspection, assemble, recorded, recorded_names
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

    from core.detectors.clip import NetworkDetector

MOST_BYTES = 64_000_000  # the published ones have 1.2
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")


def is_aasist(path: Path) -> bool:
    """Whether this is a safetensors file, or a folder with nothing but one, that holds an AASIST's tensors."""
    from safetensors import SafetensorError, safe_open

    weights = weights_of(path)
    if weights is None:
        return False
    try:
        with safe_open(os.fspath(weights), framework="np") as file:
            return {"pos_S", "out_layer.weight", "encoder.0.0.conv1.weight"} <= set(file.keys())
    except (OSError, SafetensorError, ValueError):
        return False


def weights_of(path: Path) -> Path | None:
    """The weights file meant by a path; None where it can't be one of ours."""
    if path.is_file() and path.suffix == ".safetensors":
        return path
    if path.is_dir() and not (path / "config.json").exists():
        files = sorted(path.glob("*.safetensors"))
        return files[0] if len(files) == 1 else None
    return None


def names() -> tuple[str, ...]:
    """AASIST files that the user opened before."""
    return recorded_names(is_aasist)


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is an AASIST file, or the name of one opened before.

    Raises ModelUnavailable for a single pickled file, whatever it holds.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix.lower() in PICKLED and path.is_file():
        raise ModelUnavailable(f"{path.name} is a pickled file, which can run code when it is opened, and is not opened; "
                               "convert it to safetensors.")
    return recorded(name_or_path, is_aasist) is not None


def inspect(path: Path) -> Inspection:
    """What the file says about itself. Raises ModelUnavailable."""
    weights = weights_of(path)
    if weights is None or not is_aasist(path):
        raise ModelUnavailable(f"{path.name} doesn't hold an AASIST's tensors; give a safetensors file with the "
                               "published names.")
    if weights.stat().st_size > MOST_BYTES:
        raise ModelUnavailable(f"{weights.name} is far larger than any AASIST and isn't read.")
    from models.aasist import N_SAMPLES, SAMPLE_RATE

    draft = Card(title=weights.stem, sample_rate_hz=SAMPLE_RATE, crop="tiled", crop_s=N_SAMPLES / SAMPLE_RATE,
                 normalisation="none")
    beside = card_beside(weights)
    remarks = () if beside else ("No card lies beside it: rate, window and normalisation are those of the published "
                                 "networks.",)
    return Inspection(weights, "AASIST", (weights,), 2, (), draft, beside, 1, remarks)


def load(name_or_path: str | Path, device: str = "auto", override: Card | None = None) -> NetworkDetector:
    """An AASIST by its file or remembered name. Raises ModelUnavailable."""
    path = recorded(name_or_path, is_aasist)
    if path is None:
        raise ModelUnavailable(f"There is no AASIST {str(name_or_path)[:200]!r}; give its safetensors file.")
    seen = inspect(path)

    def build(terms: Card, chosen: torch.device) -> Any:
        return _build(seen.path, terms).to(chosen)

    if (override.sample_rate_hz if override else None) not in (None, 16_000) or seen.terms.sample_rate_hz != 16_000:
        raise ModelUnavailable("AASIST's filters are for 16000 Hz; correct the sample rate in the card.")
    return assemble(seen, device, build, shortest=4_000, batch=4, override=override)


def _build(path: Path, terms: Card) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from models.aasist import build_aasist

    try:
        network = build_aasist(load_file(os.fspath(path)), terms.pool_ratios, terms.temperatures)
    except (OSError, ValueError, SafetensorError) as problem:
        raise ModelUnavailable(f"{path.name} can't be used: {problem}.") from problem
    return network.requires_grad_(False)
