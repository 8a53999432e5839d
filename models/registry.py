"""Shipped and trained detectors by name: weights, calibration, reference statistics and card, checked and
cached.

A model is a folder of files, and nothing in it is ever unpickled:

    model.safetensors        the f-InfoED network and its configuration
    calibration.safetensors  how its score becomes a log10 likelihood ratio
    reference.safetensors    what bona fide and spoofed speech looked like to it
    panel.safetensors        the panel that decides in its place, where there is one, with
    panel_calibration.safetensors and panel_reference.safetensors of its own
    card.json                what it is, how it was measured, and the sha256 of the files above

A model in the making may lack everything but the first; the rest is then empty and it is for the caller to refuse.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from models.finfoed import FInfoED, load_finfoed
from models.panel import Panel, load_panel

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "finfoed-whisper-tiny"
PARTS = ("model", "calibration", "reference", "panel", "panel_calibration", "panel_reference")
NETWORKS = ("model", "panel")
NAME = re.compile(r"\w[\w.-]*")
DEVICES = ("auto", "cpu", "cuda", "mps")

_cache: dict[tuple, Detector] = {}
_cache_lock = threading.RLock()
_threads_set = False


class DetectorUnavailable(LookupError):
    """No such model or device, or a damaged one. The message is one plain sentence with what to do next."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A network ready to run. Hold ``lock`` around every use of ``network``: its adapter switch is shared."""

    name: str
    network: FInfoED  # in evaluation mode, on ``device``, no gradients to its parameters
    device: torch.device
    lock: threading.RLock
    card: Mapping[str, Any]  # card.json; empty if there is none
    weights_sha256: str  # of model.safetensors
    calibration: Mapping[str, np.ndarray]  # empty if there is none
    reference: Mapping[str, np.ndarray]  # empty if there is none
    digests: Mapping[str, str] = field(default_factory=dict)  # sha256 of each part present
    panel: Panel | None = None  # gives the score of the finding where there is one; on ``device``
    panel_calibration: Mapping[str, np.ndarray] = field(default_factory=dict)
    panel_reference: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def deciding_calibration(self) -> Mapping[str, np.ndarray]:
        """Calibration of the score that decides: the panel's, or f-InfoED's own."""
        return self.calibration if self.panel is None else self.panel_calibration

    @property
    def deciding_reference(self) -> Mapping[str, np.ndarray]:
        """Reference of what decides: the panel's entries go before f-InfoED's own."""
        return self.reference if self.panel is None else {**self.reference, **self.panel_reference}

    @property
    def content_sha256(self) -> str:
        """Digest of all weights, calibrations and references together: the same one, the same findings."""
        text = "\n".join(f"{part} {self.digests[part]}" for part in PARTS if part in self.digests)
        return hashlib.sha256(text.encode()).hexdigest()


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on: ``auto`` takes cuda, then mps, then cpu; ``cuda:1`` and the like work.

    Raises DetectorUnavailable for an unknown device or one this machine lacks.
    """
    set_threads()
    kind = device.partition(":")[0]
    if kind not in DEVICES:
        raise DetectorUnavailable(f"There is no device {device!r}; choose one of {', '.join(DEVICES)}.")
    mps = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise DetectorUnavailable(f"There is no device {device!r}; choose one of "
                                  f"{', '.join(DEVICES)}.") from error
    present = {"cpu": chosen.index in (None, 0), "mps": mps,
               "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count()}
    if not present[kind]:
        raise DetectorUnavailable(f"This machine has no device {device!r}; choose cpu or auto.")
    return chosen


def set_threads() -> None:
    """Once per process: as many threads as this process may use cores, unless OMP_NUM_THREADS says
    otherwise."""
    global _threads_set
    with _cache_lock:
        if not _threads_set and "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
            torch.set_num_threads(max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0)))))
        _threads_set = True


def detector_names() -> tuple[str, ...]:
    """Names of the models in the weights folder, the default first."""
    if not WEIGHTS.is_dir():
        return ()
    names = sorted(folder.name for folder in WEIGHTS.iterdir() if _holds_detector(folder / "model.safetensors"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_MODEL))


def _holds_detector(weights: Path) -> bool:
    """Whether this is f-InfoED's file; other folders hold networks that answer other questions."""
    try:
        with safe_open(str(weights), framework="np") as file:
            return "finfoed" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def model_folder(name: str | Path) -> Path:
    """The folder of a registry name, or of a path. Raises DetectorUnavailable, FileNotFoundError."""
    known = WEIGHTS / str(name)
    folder = known if NAME.fullmatch(str(name)) and known.is_dir() else Path(name).expanduser()
    if not folder.is_dir():
        choice = ", ".join(detector_names()) or "none is installed"
        raise DetectorUnavailable(f"There is no detector {str(name)!r}; give a model folder or one of: "
                                  f"{choice}.")
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"The model folder {folder.name} has no model.safetensors; fetch it again.")
    return folder.resolve()


def read_card(name: str | Path = DEFAULT_MODEL) -> dict[str, Any]:
    """card.json of a model, without loading its weights; empty if there is none. Raises as
    ``load_detector``."""
    path = model_folder(name) / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise DetectorUnavailable(f"The card of {path.parent.name} can't be read; fetch the model "
                                  "again.") from error
    if not isinstance(card, dict):
        raise DetectorUnavailable(f"The card of {path.parent.name} is not a model's card; fetch the model "
                                  "again.")
    return card


def load_detector(name: str | Path = DEFAULT_MODEL, device: str = "auto") -> Detector:
    """A detector by registry name or folder path, on a device; loaded once per files and device.

    Raises
    ------
    DetectorUnavailable (a LookupError) : unknown name or device, damaged files, or files that are not those
    the card
        names (``weights_sha256``, ``calibration_sha256``, ``reference_sha256``)
    FileNotFoundError : the folder has no weights
    """
    chosen = choose_device(device)
    folder = model_folder(name)
    files = {part: folder / f"{part}.safetensors" for part in PARTS}
    stamps = tuple((s.st_mtime_ns, s.st_size) for s in (f.stat() for f in files.values() if f.exists()))
    key = (folder, str(chosen), stamps)
    with _cache_lock:
        if key not in _cache:
            for stale in [k for k in _cache if k[:2] == key[:2]]:
                del _cache[stale]
            _cache[key] = _load(folder, {part: f for part, f in files.items() if f.exists()}, chosen)
        return _cache[key]


def _load(folder: Path, files: dict[str, Path], device: torch.device) -> Detector:
    card = read_card(folder)
    digests = {}
    for part, file in files.items():
        with file.open("rb") as handle:
            digests[part] = hashlib.file_digest(handle, "sha256").hexdigest()
        expected = card.get("weights_sha256" if part == "model" else f"{part}_sha256")
        if expected is not None and expected != digests[part]:
            raise DetectorUnavailable(f"{file.name} of {folder.name} is not the file its card names; fetch "
                                      "the model again before relying on it.")
    try:
        network = load_finfoed(files["model"])
        panel = load_panel(files["panel"]).to(device) if "panel" in files else None
        tables = {part: load_file(os.fspath(file)) for part, file in files.items() if part not in NETWORKS}
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError) as error:
        raise DetectorUnavailable(f"The files of {folder.name} are damaged or not a detector's; fetch "
                                  "the model again.") from error
    network = network.requires_grad_(False).eval().to(device)
    return Detector(folder.name, network, device, threading.RLock(), card, digests["model"],
                    tables.get("calibration", {}), tables.get("reference", {}), digests, panel,
                    tables.get("panel_calibration", {}), tables.get("panel_reference", {}))
