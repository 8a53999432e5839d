"""Tiny random speaker networks: they know nothing about voices."""

from __future__ import annotations

import numpy as np
import torch

from core.calibrate import Calibration
from core.speaker.networks import SpeakerNetworks
from tests.factories import voiced


def _before_sigmoid(gate, who, features) -> torch.Tensor:
    seen = []
    handle = gate.gamma.register_forward_hook(lambda module, given, out: seen.append(out))
    gate(who, features)
    handle.remove()
    return seen[0]


def tiny_networks(seed: int = 0, *, calibrated: bool = True, spread: float = 200.0) -> SpeakerNetworks:
    """Random encoder and gate with a calibration of slope 4 and bounds of two either way. spread : makes the gate's
    values differ more from frame to frame, around one half.
    """
    from models.speaker import SpeakerEncoder, fbank
    from models.svvad import Svvad

    encoder, gate = SpeakerEncoder.tiny(seed).eval(), Svvad.tiny(seed).eval()
    with torch.no_grad():
        features = fbank(torch.from_numpy(voiced(4.0, seed=11))[None])
        gate.gain.zero_()
        gate.gamma.weight *= spread
        gate.gamma.bias -= _before_sigmoid(gate, encoder(features), features).mean()
    for network in (encoder, gate):
        network.requires_grad_(False)
    lines = np.stack([4 + 0.2 * np.linspace(-1, 1, 9), -1 + 0.1 * np.linspace(-1, 1, 9)], axis=1)
    calibration = Calibration(4.0, -1.0, lines, (-2.0, 2.0)) if calibrated else None
    return SpeakerNetworks(encoder, gate, torch.device("cpu"), calibration, sha256=f"tiny {seed}",
                           encoder_sha256=f"tiny encoder {seed}")
