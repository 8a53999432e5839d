"""`python -m core bench`: speed and memory as ratios within one run, on this machine.

Absolute times say more about a machine than about a program, so each line sets a time against the bare
encoder's forward pass over the same audio in the same batches, or against the audio's own duration. Signals
are made from numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.common import add_model_options
from core.errors import EarwitnessError

if TYPE_CHECKING:
    import numpy as np

    from models.registry import Detector

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Line:
    """One measurement. `aim` is what it should keep to ("at most" unless `least`); None where nothing
    is asked.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    least: bool = False

    @property
    def kept(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value >= self.aim if self.least else self.value <= self.aim


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "bench",
        help="measure speed and memory",
        description="Measure speed and memory as ratios within one run.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions, ten minutes instead of an hour"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--no-app", action="store_true", help="leave the app's start and pages out")
    parser.add_argument(
        "--long", type=float, metavar="SECONDS", help=argparse.SUPPRESS
    )  # in a process of its own
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Measure and print. Returns 0 also where an aim is missed: a slow machine is no error."""
    from core.examine import detector_for
    from models.registry import DEFAULT_MODEL

    options.model = options.model or DEFAULT_MODEL
    if options.long is not None:
        print(json.dumps(measure_long(options)))
        return 0
    detector = detector_for(options.model, options.device)
    lines = list(measure(options, detector))
    facts = machine(detector)
    if options.json:
        print(
            json.dumps({**facts, "lines": [asdict(line) | {"kept": line.kept} for line in lines]}, indent=1)
        )
    else:
        print_table(facts, lines)
    return 0


def measure(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """All lines, in order."""
    yield from minute_lines(options, detector)
    yield from folder_lines(options, detector)
    from core.commands.bench_attribution import attribution_lines
    from core.commands.bench_complement import complement_lines
    from core.commands.bench_library import library_lines
    from core.commands.bench_speaker import speaker_lines

    yield from attribution_lines(options, detector)
    yield from complement_lines(options, detector)
    yield from library_lines(options, detector)
    yield from speaker_lines(options)
    yield from long_lines(options)
    if not options.no_app:
        from core.commands.bench_app import app_lines

        yield from app_lines(options)


def machine(detector: Detector) -> dict[str, Any]:
    """What was measured on what."""
    import platform

    import torch

    from core.version import VERSION

    name = (
        torch.cuda.get_device_name(detector.device) if detector.device.type == "cuda" else platform.machine()
    )
    return {
        "version": VERSION,
        "model": detector.name,
        "weights_sha256": detector.weights_sha256,
        "device": f"{detector.device} ({name})",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def print_table(facts: dict[str, Any], lines: list[Line]) -> None:
    print(f"Earwitness {facts['version']}, {facts['model']} ({facts['weights_sha256'][:12]}), "
          f"{facts['device']}, {facts['threads']} threads, torch {facts['torch']}")  # fmt: skip
    width = max(len(line.name) for line in lines)
    for line in lines:
        aim = "" if line.aim is None else f"{'at least' if line.least else 'at most'} {line.aim:g}"
        kept = {None: "", True: "kept", False: "MISSED"}[line.kept]
        print(f"{line.name:<{width}}  {line.value:>9.3g} {line.unit:<5}  {aim:<14} {kept}".rstrip())


# One minute


def minute_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """A complete finding of 60 s from wav bytes, against the bare encoder over the same windows."""
    from core.commands.speechlike import speechlike, wav_bytes
    from core.examine import examine, forget
    from core.panel import panel_windows

    samples = speechlike(MINUTE)
    data = wav_bytes(samples)
    batches = window_batches(samples)

    def whole() -> None:
        forget()
        examine(data, "minute.wav", model=options.model, device=options.device)

    repeats = 3 if options.quick else 7
    times = interleaved({"bare": lambda: bare(detector, batches), "whole": whole}, repeats)
    yield Line("60 s, bare encoder", times["bare"], "s")
    yield Line("60 s, complete finding", times["whole"], "s")
    yield Line("60 s, complete finding over bare encoder", times["ratio"], "x", 1.5)
    if detector.panel is not None:
        heard = [samples[w.start : w.stop][None] for w in panel_windows(len(samples))]
        both = interleaved({"bare": lambda: bare(detector, batches, heard), "whole": whole}, repeats)
        yield Line("60 s, complete finding over bare encoder and panel", both["ratio"], "x", 1.5)
    yield Line("60 s, faster than real time", MINUTE / times["whole"], "x", 25.0, least=True)
    began = time.perf_counter()
    examine(data, "again.wav", model=options.model, device=options.device)
    yield Line("60 s, the same bytes once more", time.perf_counter() - began, "s")


def window_batches(samples: np.ndarray) -> list[np.ndarray]:
    """The windows that `encode` would make, in its batches of equal length, [B, N] each."""
    import numpy as np

    from core.encode import BATCH, _groups
    from core.frames import plan_windows

    windows = plan_windows(len(samples))
    groups = _groups([w.n_samples for w in windows], BATCH)
    return [np.stack([samples[windows[i].start : windows[i].stop] for i in group]) for group in groups]


def bare(detector: Detector, batches: list[np.ndarray], heard: Sequence[np.ndarray] = ()) -> None:
    """The encoder alone, without adapters, heads or storage; bf16 on cuda. Then the panel over ``heard``, [1, N] each."""
    import torch

    kind = detector.device.type
    with detector.lock, torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        for batch in batches:
            wav = torch.from_numpy(batch).to(detector.device)
            detector.network.encode(wav, adapters=False)
    with detector.lock, torch.inference_mode():
        for window in heard:
            detector.panel(torch.from_numpy(window).to(detector.device))
        if kind == "cuda":
            torch.cuda.synchronize(detector.device)


def interleaved(works: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of "bare" and "whole" after one warm-up, and the median "ratio" of neighbouring turns.

    They take turns, so that a machine that is busy with something else treats both alike.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in times.items()}
    pairs = zip(times["whole"], times["bare"], strict=True)
    return medians | {"ratio": statistics.median(whole / alone for whole, alone in pairs)}


# A folder


def folder_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """Scoring a folder of 8 s clips, against the bare encoder over all their windows in full batches."""
    import numpy as np

    from core.batch import batch_size
    from core.commands import score
    from core.commands.speechlike import speechlike, wav_bytes

    n = 16 if options.quick else (256 if detector.device.type == "cuda" else 48)
    clips = [speechlike(8.0, seed) for seed in range(n)]
    stacked = np.concatenate([clip.reshape(2, -1) for clip in clips])  # (2 n, 64000)
    size = batch_size(detector)
    batches = [stacked[i : i + size] for i in range(0, len(stacked), size)]
    with tempfile.TemporaryDirectory(prefix="earwitness-bench-") as folder:
        for i, clip in enumerate(clips):
            (Path(folder) / f"{i:03d}.wav").write_bytes(wav_bytes(clip))
        todo = list(score.list_files(Path(folder)))

        def whole() -> None:
            failed = [row["error"] for row in score.rows(todo, detector, "bench") if row["error"]]
            if failed:
                raise EarwitnessError(f"Scoring failed while measuring: {failed[0]}")

        times = interleaved(
            {"bare": lambda: bare(detector, batches), "whole": whole}, 1 if options.quick else 3
        )
    aim = 1.3 if detector.device.type == "cuda" else None
    yield Line(f"folder of {n} clips, scored over bare encoder", times["ratio"], "x", aim)
    yield Line(f"folder of {n} clips", n / times["whole"], "per s")


# One hour


def long_lines(options: argparse.Namespace) -> Iterator[Line]:
    """An hour in a process of its own, whose peak memory is its own."""
    seconds = 600.0 if options.quick else HOUR
    name = "10 minutes" if options.quick else "one hour"
    command = [sys.executable, "-m", "core", "bench", "--long", str(seconds), "--device", options.device]
    done = subprocess.run(
        [*command, "--model", str(options.model)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise EarwitnessError(f"The long recording could not be measured: {done.stderr.strip()[-300:]}")
    out = json.loads(done.stdout)
    yield Line(f"{name}, faster than real time", seconds / out["long_s"], "x")
    ratio = (seconds / out["long_s"]) / (MINUTE / out["minute_s"])
    yield Line(f"{name}, throughput over that of 60 s", ratio, "x", 0.8, least=True)
    yield Line(f"{name}, peak memory", out["peak_bytes"] / 1e9, "GB", 1.5)


ROOT = Path(__file__).resolve().parents[2]


def measure_long(options: argparse.Namespace) -> dict[str, float]:
    """In a fresh process: seconds for the long file, its peak memory in bytes, seconds for one minute."""
    from core.commands.common import peak_bytes
    from core.commands.speechlike import speechlike, wav_bytes
    from core.examine import detector_for, examine, forget

    with tempfile.TemporaryDirectory(prefix="earwitness-bench-") as folder:
        path = Path(folder) / "long.wav"
        write_long(path, options.long)
        minute = wav_bytes(speechlike(MINUTE))
        detector_for(options.model, options.device)

        def seconds(source: bytes | Path) -> float:
            forget()
            began = time.perf_counter()
            examine(source, model=options.model, device=options.device)
            return time.perf_counter() - began

        seconds(minute)  # warm
        before = [seconds(minute) for _ in range(3)]
        long_s = seconds(path)
        peak = peak_bytes()
        after = [seconds(minute) for _ in range(3)]
    return {"long_s": long_s, "minute_s": statistics.median(before + after), "peak_bytes": float(peak)}


def write_long(path: Path, seconds: float) -> None:
    """A long 16-bit WAV, minute by minute; each minute is another passage at another level."""
    import soundfile

    from core.commands.speechlike import RATE, speechlike

    passages = [speechlike(MINUTE, seed) for seed in range(3)]
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for i in range(round(seconds / MINUTE)):
            file.write(passages[i % 3] * (0.6 + 0.1 * (i % 5)))
