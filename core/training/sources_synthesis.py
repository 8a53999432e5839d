"""Speech from the synthesisers on this machine: several voices and languages each, varied texts, speeds and pitches."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np

from core.training.corpus import Clip, CorpusError
from core.training.sources_base import Context, SourceAbsent, SourceItem, option
from core.training.sources_files import clip_name
from core.training.synthesisers import Utterance, Voice, synthesisers, texts


def synthesis(options: Mapping[str, Any], context: Context) -> Iterator[SourceItem]:
    """Utterances for the builder to have spoken. Options: engines (all), voices (per system, 12), clips (per system, 60),
    without (patterns of voices to leave out, as in file names; none).

    Every engine is a source of its own, every method of it a system, so that an engine can be held out whole.
    """
    known = synthesisers()
    names = option(options, "engines", list, list(known))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CorpusError(f"There is no synthesiser {unknown[0]!r}; known are {', '.join(known)}.")
    most, clips = option(options, "voices", int, 12), option(options, "clips", int, 60)
    without = option(options, "without", list, [])
    present = 0
    for name in names:
        engine = known[name]
        missing = engine.absent()
        context.told[name] = missing or f"present, {len(engine.voices())} voices"
        if missing:
            continue
        present += 1
        voices_of = [v for v in engine.voices() if not any(fnmatch(v.name, pattern) for pattern in without)]
        for system, voices in _by_system(voices_of, most, context.seed).items():
            for number in range(clips):
                yield _item(engine.name, engine.licence, system, voices[number % len(voices)], number, context.seed)
    if not present:
        raise SourceAbsent("None of the synthesisers is installed: " + "; ".join(f"{n} is {t}" for n, t in
                                                                                 context.told.items() if n in names))


def _by_system(voices: list[Voice], most: int, seed: int) -> dict[str, list[Voice]]:
    """At most so many voices of each method, drawn evenly over languages, only such as there are texts for."""
    groups: dict[str, dict[str, list[Voice]]] = defaultdict(lambda: defaultdict(list))
    for voice in sorted(voices, key=lambda v: zlib.crc32(f"{seed}|{v.name}".encode())):
        if voice.language in texts():
            groups[voice.system][voice.language].append(voice)
    chosen: dict[str, list[Voice]] = {}
    for system, languages in groups.items():
        rows = list(languages.values())
        longest = max(map(len, rows))
        chosen[system] = [row[i] for i in range(longest) for row in rows if i < len(row)][:most]
    return chosen


def _item(engine: str, licence: str, system: str, voice: Voice, number: int, seed: int) -> SourceItem:
    rng = np.random.default_rng([seed, zlib.crc32(f"{system}|{voice.name}".encode()), number])
    sentences = texts()[voice.language]
    picked = rng.choice(len(sentences), size=int(rng.integers(1, 3)), replace=False)
    text = " ".join(sentences[i] for i in picked)
    utterance = Utterance(engine, voice.name, text, round(float(rng.uniform(0.85, 1.2)), 2),
                          round(float(rng.uniform(0.85, 1.15)), 2))
    name = clip_name(engine, voice.name, number, seed)
    return SourceItem(Clip(name, "", "spoof", system, voice.family, voice.speaker, f"synthesiser:{engine}", "",
                           voice.language, name, "", ";".join(voice.groups), "", licence,
                           f"{engine}, voice {voice.name}, rate {utterance.rate}: {text}"), speech=utterance)
