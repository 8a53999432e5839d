"""Two measurements on held-out voices: does hearing one speaker alone help the finding, and are several voices noticed?

    python -m core.speaker.study alone VOICES SYNTHETIC --output docs/only-this-speaker.json
    python -m core.speaker.study several VOICES --output core/speaker/several.json

VOICES, SYNTHETIC: folders with ``voices.csv`` (`core.training.speaker_data`, `study_voices`); rows of part "held-out" are
used, which neither the speaker networks nor, by source, the spoof detector were trained on. Intervals draw voices anew.
Only a study needs this module; nothing else imports it.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.audio import Recording, read_recording
from core.speaker.measured import alone_page
from core.spectrum import pcm16
from core.training.speaker_data import SAMPLE_RATE, Voice, load_voices, samples

GAP_S = 0.15  # of silence between the clips of one voice


@dataclass(frozen=True)
class Person:
    """One voice and its clips, in a fixed order. ``kind``: its source, within which channels are alike."""

    name: str
    kind: str
    bonafide: bool
    clips: tuple[Voice, ...]

    def sound(self, seconds: float, first: int = 0) -> tuple[np.ndarray, int]:
        """(about ``seconds`` of the voice from clip ``first`` on, the next unused clip). Fewer where they run out."""
        pieces, total, i = [], 0, first
        while i < len(self.clips) and total < seconds * SAMPLE_RATE:
            x = samples(self.clips[i])
            pieces += [0.05 * x / max(float(np.std(x)), 1e-5), np.zeros(round(GAP_S * SAMPLE_RATE), np.float32)]
            total, i = total + len(x), i + 1
        joined = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return joined[: round(seconds * SAMPLE_RATE)], i


def people(folders: Sequence[Path], least_s: float) -> list[Person]:
    """Held-out voices with at least so many seconds, in a fixed order."""
    clips: dict[tuple[str, str, str], list[Voice]] = defaultdict(list)
    for folder in folders:
        for voice in load_voices(folder):
            if voice.part == "held-out" and voice.speaker:
                clips[voice.speaker, voice.source, voice.label].append(voice)
    found = []
    for (name, source, label), own in sorted(clips.items()):
        if sum(v.seconds for v in own) >= least_s:
            order = sorted(own, key=lambda v: zlib.crc32(v.name.encode()))
            found.append(Person(name, source, label == "bonafide", tuple(order)))
    return found


def as_recording(x: np.ndarray, name: str) -> Recording:
    """Samples as the program would read them from a file."""
    return read_recording(pcm16(0.9 * x / max(1.0, float(np.abs(x).max()))), name)


def share_interval(right: np.ndarray, groups: Sequence[str], seed: int = 0, draws: int = 1_000) -> list[float]:
    """Mean of right [n] with its 95 % interval over drawn groups (voices)."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(place, right, len(names)), np.bincount(place, minlength=len(names))
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(names), (draws, len(names)))
    means = sums[picked].sum(1) / sizes[picked].sum(1)
    return [float(right.mean()), *(float(x) for x in np.quantile(means, [0.025, 0.975]))]


def main() -> None:
    from core.speaker import study_alone, study_several

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name, module, words in (("alone", study_alone, "examine only this speaker"),
                                ("several", study_several, "more than one voice")):
        part = parts.add_parser(name, help=words)
        part.add_argument("folders", nargs="+", type=Path)
        part.add_argument("--output", type=Path, required=True)
        part.add_argument("--cases", type=int, default=module.CASES)
        part.set_defaults(measure=module.measure)
    options = parser.parse_args()
    found = options.measure(options.folders, options.cases)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.part == "alone":
        options.output.with_suffix(".md").write_text(alone_page(found), encoding="utf-8")
    print(json.dumps({k: v for k, v in found.items() if k != "cases"}, indent=1))


if __name__ == "__main__":
    main()
