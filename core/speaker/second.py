"""A second opinion on whose voice it is: another's speaker encoder on the same references and the same stretches.

It answers with cosines and nothing else. Cosines of different encoders have different scales, and this one has no
calibration here, so they take no part in the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import InvalidOption, ModelUnavailable
from core.segments import Segment
from core.speaker.parts import LEAST_S, cut

if TYPE_CHECKING:
    from core.audio import Recording
    from core.speaker.enrol import Enrolment
    from models.xvector import XVectorEncoder


@dataclass(frozen=True)
class SecondOpinion:
    """Cosines with the enrolment, -1 to 1, None where there is less than a second to hear. ``sha256``: of the weights;
    ``references``: cosines of the references with each other's mean, the least of them, None for a single one.
    """

    name: str
    sha256: str
    kept: float | None
    rejected: float | None
    whole: float | None
    references: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "weights_sha256": self.sha256, "calibrated": False, "cosine": {
            "kept": self.kept, "rejected": self.rejected, "raw": self.whole, "least_among_references": self.references}}


def load_second(path_or_hub_id: str | Path, *, allow_download: bool = False, device: Any = "cpu") -> XVectorEncoder:
    """The encoder on a device. Raises ModelUnavailable with a sentence for the user."""
    from models.encoder import EncoderUnavailable
    from models.xvector import load_xvector

    try:
        return load_xvector(path_or_hub_id, allow_download=allow_download).to(device)
    except EncoderUnavailable as problem:
        raise ModelUnavailable(str(problem)) from problem


def second_opinion(encoder: XVectorEncoder, enrolment: Enrolment, recording: Recording, kept: Sequence[Segment],
                   rejected: Sequence[Segment]) -> SecondOpinion:
    """Compare by another encoder. Raises InvalidOption where the references are too short for it."""
    heard = [r.sound for r in enrolment.references if len(r.sound) >= LEAST_S * 16_000]
    voices = [v for v in map(encoder.embed, heard) if np.isfinite(v).all()]
    if not voices:
        raise InvalidOption("No reference holds a second of sound, which the second encoder needs.")
    mean = np.mean(voices, axis=0)
    who = mean / max(float(np.linalg.norm(mean)), 1e-9)

    def cosine(samples: np.ndarray) -> float | None:
        if len(samples) < LEAST_S * 16_000:
            return None
        value = float(encoder.embed(samples) @ who)
        return value if np.isfinite(value) else None

    least = min(float(v @ who) for v in voices) if len(voices) > 1 else None
    sides = [cosine(cut(recording.samples, side)) for side in (kept, rejected)]
    return SecondOpinion(encoder.name, encoder.sha256, *sides, cosine(recording.samples), least)
