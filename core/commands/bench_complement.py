"""The bench's lines about complementary members: hearing a minute with all of them against their bare forward passes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.commands.bench import MINUTE, Line, interleaved, window_batches

if TYPE_CHECKING:
    import numpy as np

    from core.complement.shipped import Shipped
    from models.registry import Detector


def complement_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """All members and the fusion on 60 s; nothing where ACoRL isn't installed."""
    from core.audio import read_recording
    from core.commands.speechlike import speechlike, wav_bytes
    from core.complement.fusion import waterfall
    from core.complement.listen import listen
    from core.complement.members import members
    from core.complement.shipped import installed, shipped

    if not installed():
        return
    recording, ours = read_recording(wav_bytes(speechlike(MINUTE)), "minute.wav"), shipped()
    everyone, batches = members(detector, ours), window_batches(recording.samples)

    def whole() -> None:
        waterfall(listen(recording, detector, everyone, ours).said, ours)

    times = interleaved({"bare": lambda: bare(detector, ours, batches), "whole": whole}, 3 if options.quick else 7)
    yield Line("60 s, all members and their fusion", times["whole"], "s")
    yield Line("60 s, all members and their fusion over bare passes", times["ratio"], "x", 1.3)


def bare(detector: Detector, ours: Shipped, batches: list[np.ndarray]) -> None:
    """Every network and view once per window, each front end once, and nothing else."""
    import torch

    from models import views

    network, panel = detector.network, detector.panel
    with detector.lock, torch.inference_mode():
        for batch in batches:
            wav = torch.from_numpy(batch).to(detector.device)
            network.analyse(network.encode(wav))
            x = views.prepare(wav)
            tracks, power = views.frame_tracks(x)
            if panel is not None:
                vectors = views.clip_views(x, tracks, power) | panel.hear(wav)[0]
                for name, vector in vectors.items():
                    panel.members[name](vector)
            plane = views.local_tracks(tracks).cpu()
            for one in ours.networks.values():
                one(plane)
