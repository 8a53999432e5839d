"""Synthetic voices for the study of `study`: several utterances of each voice of the synthesisers on this machine.

    python -m core.speaker.study_voices INTO --per-system 24 --utterances 5

Writes ``voices.csv`` in the form of `core.training.speaker_data`, audio beside it. Only a study needs this.
"""

from __future__ import annotations

import argparse
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from core.training.corpus import write_csv, write_views
from core.training.speaker_data import SAMPLE_RATE, Voice
from core.training.synthesisers import NotSpoken, Utterance, speak, synthesisers, texts

SENTENCES = 2  # of an utterance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("into", type=Path)
    parser.add_argument("--per-system", type=int, default=24, metavar="N", help="voices of each method, at most")
    parser.add_argument("--utterances", type=int, default=5, metavar="N", help="of each voice")
    options = parser.parse_args()
    (options.into / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for voice in spoken(options.into, options.per_system, options.utterances):
        rows.append(asdict(voice))
        write_csv(options.into / "voices.csv", rows, [f.name for f in fields(Voice)])
    print(f"{len(rows)} utterances of {len({r['speaker'] for r in rows})} voices in {options.into}")


def spoken(into: Path, per_system: int, utterances: int) -> Iterator[Voice]:
    """Have every voice speak; what is there already is not made again, what a synthesiser can't say is left out."""
    for engine in synthesisers().values():
        if engine.absent():
            print(f"{engine.name}: {engine.absent()}", flush=True)
            continue
        by_system: dict[str, list] = defaultdict(list)
        for voice in sorted(engine.voices(), key=lambda v: zlib.crc32(v.name.encode())):
            if voice.language in texts() and all(v.speaker != voice.speaker for v in by_system[voice.system]):
                by_system[voice.system].append(voice)
        for system, voices in by_system.items():
            for voice in voices[:per_system]:
                for number in range(utterances):
                    made = _utter(engine.name, voice, number, into)
                    if made is not None:
                        yield Voice(made.stem, str(made), voice.speaker, system, "spoof", "held-out",
                                    np.load(made, mmap_mode="r").shape[1] / SAMPLE_RATE, engine.licence)


def _utter(engine: str, voice, number: int, into: Path) -> Path | None:
    target = into / "audio" / f"{engine}-{zlib.crc32(voice.name.encode()):08x}-{number}.npy"
    if not target.exists():
        sentences = texts()[voice.language]
        picked = [sentences[(number * SENTENCES + i) % len(sentences)] for i in range(SENTENCES)]
        try:
            write_views(target, speak(Utterance(engine, voice.name, " ".join(picked)))[None])
        except (NotSpoken, OSError) as problem:
            print(f"{voice.name}: {problem}", flush=True)
            return None
    return target


if __name__ == "__main__":
    main()
