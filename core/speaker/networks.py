"""The networks of a speaker verification: the encoder of voices and the gate (SVVAD), found, checked and kept loaded.

    models/weights/speaker-cam-tiny     the encoder, its calibration and its card
    models/weights/svvad-tiny           the gate, its card, and the calibration of gated scores where there is one

Nothing is downloaded and nothing is unpickled. Where a folder is missing there is no verification, and `shipped` says so.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

ENCODER, GATE = "speaker-cam-tiny", "svvad-tiny"

_kept: dict[tuple, SpeakerNetworks] = {}
_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class SpeakerNetworks:
    """Encoder and gate, ready to run; hold ``lock`` around every use of either.

    calibration: cosine -> log10 LR (same over different speaker), of recordings as they are; gated_calibration: the same
    for what the gate kept, None where it was never measured; cards: card.json of both folders; sha256: of all weights and
    calibrations; encoder_sha256: of the encoder's weights; shared: the gate's header is a copy of this very encoder, so
    that a recording need be heard only once for both.
    """

    encoder: Any  # models.speaker.SpeakerEncoder
    gate: Any  # models.svvad.Svvad
    device: torch.device
    calibration: Calibration | None = None
    gated_calibration: Calibration | None = None
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sha256: str = ""
    encoder_sha256: str = ""
    shared: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def embed(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Embeddings of pooled statistics, each [shape=(B, C)] -> unit vectors [shape=(B, 192)] float32. NaN in, NaN
        out."""
        import torch

        known = np.isfinite(mean).all(1)
        out = np.full((len(mean), self.encoder.width), np.nan, np.float32)
        if known.any():
            with self.lock, torch.inference_mode():
                statistics = [torch.from_numpy(np.ascontiguousarray(x[known])).to(self.device) for x in (mean, deviation)]
                out[known] = self.encoder.from_statistics(*statistics).float().cpu().numpy()
        return out


def folders() -> tuple[Path, Path]:
    """Where the shipped encoder and gate lie, or would."""
    from models.registry import WEIGHTS

    return WEIGHTS / ENCODER, WEIGHTS / GATE


def shipped(device: str = "auto") -> SpeakerNetworks:
    """The shipped networks, loaded once per files and device. Raises ModelUnavailable with a sentence for the user."""
    from models.registry import DetectorUnavailable, choose_device
    from models.speaker import MODEL_FILE

    try:
        chosen = choose_device(device)
    except DetectorUnavailable as problem:
        raise ModelUnavailable(str(problem.args[0])) from problem
    missing = [folder.name for folder in folders() if not (folder / MODEL_FILE).is_file()]
    if missing:
        raise ModelUnavailable(f"Speakers can't be compared here: the weights {' and '.join(missing)} aren't installed; "
                               "this version of the project may not carry them yet.")
    key = (str(chosen), *((p.name, p.parent.name, p.stat().st_mtime_ns, p.stat().st_size) for p in _files()))
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = _load(chosen)
        return _kept[key]


def _files() -> list[Path]:
    """Every file that makes a number, in a fixed order."""
    from models.speaker import MODEL_FILE

    names = (MODEL_FILE, "calibration.safetensors", "card.json")
    return [folder / name for folder in folders() for name in names if (folder / name).is_file()]


def _load(device: torch.device) -> SpeakerNetworks:
    from safetensors import SafetensorError

    from models.speaker import MODEL_FILE, load_speaker
    from models.svvad import load_svvad

    at_encoder, at_gate = folders()
    try:
        encoder, gate = load_speaker(at_encoder), load_svvad(at_gate)
        calibrations = [Calibration.load(f) if (f := folder / "calibration.safetensors").is_file() else None
                        for folder in (at_encoder, at_gate)]
        cards = {folder.name: _card(folder) for folder in (at_encoder, at_gate)}
        for folder in (at_encoder, at_gate):
            _as_its_card_says(folder, cards[folder.name])
        shared = _made_for_each_other(cards[at_gate.name], _digest(at_encoder / MODEL_FILE))
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError) as problem:
        raise ModelUnavailable("The speaker networks' files are damaged or not theirs; fetch the project's models folder "
                               "again.") from problem
    for network in (encoder, gate):
        network.requires_grad_(False).eval().to(device)
    digest = hashlib.sha256()
    for file in _files():
        if file.suffix == ".safetensors":
            digest.update(_digest(file).encode())
    return SpeakerNetworks(encoder, gate, device, *calibrations, cards, digest.hexdigest(),
                           _digest(at_encoder / MODEL_FILE), shared)


def _card(folder: Path) -> dict[str, Any]:
    file = folder / "card.json"
    card = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not isinstance(card, dict):
        raise ValueError(f"{file.name} is not a card")
    return card


def _as_its_card_says(folder: Path, card: Mapping[str, Any]) -> None:
    from models.speaker import MODEL_FILE

    expected = card.get("weights_sha256")
    if expected is not None and expected != _digest(folder / MODEL_FILE):
        raise ValueError(f"the weights of {folder.name} are not those that its card names")


def _made_for_each_other(card: Mapping[str, Any], encoder_sha256: str) -> bool:
    """Whether the gate's card names this encoder, of which its header is a copy. Raises ValueError for another's."""
    named = card.get("downstream", {}).get("weights_sha256")
    if named not in (None, encoder_sha256):
        raise ValueError("the gate was trained and measured with another encoder")
    return named is not None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
