"""Tiny random speaker networks: they know nothing about voices."""

from __future__ import annotations

import numpy as np
import torch

from core.calibrate import Calibration
from core.speaker.networks import SpeakerNetworks


def tiny_networks(seed: int = 0, *, calibrated: bool = True) -> SpeakerNetworks:
    """Random encoder and gate with a calibration of slope 4 and bounds of two either way."""
    from models.speaker import SpeakerEncoder
    from models.svvad import Svvad

    encoder, gate = SpeakerEncoder.tiny(seed).eval(), Svvad.tiny(seed).eval()
    lines = np.stack([4 + 0.2 * np.linspace(-1, 1, 9), -1 + 0.1 * np.linspace(-1, 1, 9)], axis=1)
    calibration = Calibration(4.0, -1.0, lines, (-2.0, 2.0)) if calibrated else None
    return SpeakerNetworks(encoder, gate, torch.device("cpu"), calibration, sha256=f"tiny {seed}",
                           encoder_sha256=f"tiny encoder {seed}")
