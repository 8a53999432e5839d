"""The bench's lines about speakers: enrolment and verification against the bare networks, the threshold, an hour."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.commands.bench import HOUR, MINUTE, ROOT, Line, interleaved
from core.errors import EarwitnessError, ModelUnavailable

if TYPE_CHECKING:
    import numpy as np

    from core.speaker.networks import SpeakerNetworks

ENROLMENT_S = 10.0

# Verifies a long recording in a fresh process and prints seconds and peak memory, with and without it.
_LONG = """
import json, sys, tempfile, time
from pathlib import Path
from core.audio import read_recording
from core.commands.bench import write_long
from core.commands.common import peak_bytes
from core.commands.speechlike import speechlike, wav_bytes
from core.speaker.enrol import enrol
from core.speaker.networks import shipped
from core.speaker.verify import verify
networks = shipped(sys.argv[2])
enrolled = enrol([read_recording(wav_bytes(speechlike(10.0, 5)))], networks)
with tempfile.TemporaryDirectory(prefix="earwitness-bench-") as folder:
    path = Path(folder) / "long.wav"
    write_long(path, float(sys.argv[1]))
    began = time.perf_counter()
    verify(read_recording(path), enrolled, networks)
    seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}))
"""


def speaker_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Nothing where the speaker networks aren't installed."""
    from core.speaker.networks import shipped

    try:
        networks = shipped(options.device)
    except ModelUnavailable:
        return
    yield from _minute(options, networks)
    seconds = 600.0 if options.quick else HOUR
    name = "10 minutes" if options.quick else "one hour"
    done = subprocess.run([sys.executable, "-c", _LONG, str(seconds), options.device], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise EarwitnessError(f"The long verification could not be measured: {done.stderr.strip()[-300:]}")
    out = json.loads(done.stdout.strip().splitlines()[-1])
    yield Line(f"speaker, {name}, faster than real time", seconds / out["seconds"], "x", 30.0, least=True)
    yield Line(f"speaker, {name}, peak memory", out["peak_bytes"] / 1e9, "GB", 1.5)


def _minute(options: argparse.Namespace, networks: SpeakerNetworks) -> Iterator[Line]:
    from core.audio import read_recording
    from core.commands.speechlike import speechlike, wav_bytes
    from core.examine import forget
    from core.speaker.enrol import enrol
    from core.speaker.report import to_dict
    from core.speaker.verify import verify

    reference, test = (read_recording(wav_bytes(speechlike(s, seed))) for s, seed in ((ENROLMENT_S, 5), (MINUTE, 6)))

    def whole():
        forget()
        return verify(test, enrol([reference], networks), networks)

    times = interleaved({"bare": lambda: bare(reference.samples, test.samples, networks), "whole": whole},
                        2 if options.quick else 5)
    yield Line("speaker, enrolment and 60 s, faster than real time", MINUTE / times["whole"], "x", 30.0, least=True)
    yield Line("speaker, enrolment and 60 s over bare networks", times["ratio"], "x", 1.5)
    verified, slowest = whole(), 0.0
    for threshold in (0.2, 0.5, 0.8):
        began = time.perf_counter()
        to_dict(verified, networks, threshold, curves=False)
        slowest = max(slowest, time.perf_counter() - began)
    yield Line("speaker, moving the threshold", 1000 * slowest, "ms", 150.0)


def bare(reference: np.ndarray, test: np.ndarray, networks: SpeakerNetworks) -> None:
    """The networks' forward passes alone: the encoder over the reference, and over the test before and after the gate."""
    import torch

    from core.speaker.listen import BATCH, WINDOW
    from models.speaker import fbank
    from models.svvad import film

    def windows(samples: np.ndarray) -> list[torch.Tensor]:
        n = len(samples) // WINDOW
        rest = torch.tensor(samples[n * WINDOW :][None])
        whole = torch.tensor(samples[: n * WINDOW].reshape(n, WINDOW))
        return [*whole.split(BATCH), *([rest] if rest.shape[1] else [])] if n else [rest]

    with networks.lock, torch.inference_mode():
        who = None
        for wav in windows(reference):
            who = networks.encoder(fbank(wav.to(networks.device)))[:1]
        for wav in windows(test):
            features = fbank(wav.to(networks.device))
            gamma, beta = networks.gate(who.expand(len(wav), -1), features)
            networks.encoder(features)
            networks.encoder(film(features, gamma, beta))
