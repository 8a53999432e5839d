"""Speech synthesisers that run offline, if they are installed: one adapter each, present or absent said plainly.

An adapter lists its voices and turns an :class:`Utterance` into mono samples. Commands are run without a shell, with the
text in a file or after ``--``, and with a time limit. Nothing is downloaded; the texts are ours (``recipes/texts.toml``).
Synthesisers from packages are in ``synthesisers_neural`` and ``synthesisers_packaged``.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

RECIPES = Path(__file__).parent / "recipes"
TIMEOUT_S = 60.0


class NotSpoken(RuntimeError):
    """A synthesiser gave no usable audio for an utterance; the message says why."""


@dataclass(frozen=True)
class Voice:
    """One voice. speaker: the person it was built from, the same name in every engine, or the engine's own voice;
    system: the method, where one engine has several; groups: what must stay on one side of a split with it.
    """

    name: str
    language: str
    speaker: str
    system: str
    groups: tuple[str, ...] = ()
    family: str = "tts"


@dataclass(frozen=True)
class Utterance:
    """What to say. rate: 1 is the voice's own speed; pitch: 1 its own pitch, where the engine can change it."""

    engine: str
    voice: str
    text: str
    rate: float = 1.0
    pitch: float = 1.0


class Synthesiser(ABC):
    """The contract of an adapter. ``absent`` is "" where it can be used, else what is missing and how to get it."""

    name: str
    licence: str

    @abstractmethod
    def absent(self) -> str:
        """"" or what is missing."""

    @abstractmethod
    def voices(self) -> Sequence[Voice]:
        """The voices that are installed."""

    @abstractmethod
    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        """Mono float32 samples and their rate in Hz. Raises NotSpoken."""


def run_to_wav(command: Sequence[str], *, text: str | None = None) -> tuple[np.ndarray, int]:
    """Run a command in which ``{out}`` (and ``{text}``, a file) stand for paths, and read the WAV it wrote."""
    import soundfile as sf

    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder) / "out.wav", Path(folder) / "text.txt"
        if text is not None:
            script.write_text(text, encoding="utf-8")
        line = [word.replace("{out}", str(out)).replace("{text}", str(script)) for word in command]
        try:
            done = subprocess.run(line, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise NotSpoken(f"{command[0]} took longer than {TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise NotSpoken(f"{command[0]} could not be run: {error}") from error
        try:
            samples, rate = sf.read(out, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise NotSpoken(f"{command[0]} wrote no audio: {' '.join(said)[:200]}") from error
    return samples.mean(axis=1), rate


class EspeakNG(Synthesiser):
    """eSpeak NG: formant synthesis in a hundred languages, its own and Klatt's formant synthesiser."""

    name, licence = "espeak-ng", "GPL-3 (output not covered)"
    LANGUAGES = ("en-us", "en-gb", "de", "fr-fr", "es", "it", "ca", "cs", "fi", "ru", "pt", "nl", "pl")
    VARIANTS = ("m1", "m3", "m7", "f2", "f4", "klatt", "klatt3", "klatt5")

    def absent(self) -> str:
        return "" if shutil.which("espeak-ng") else "absent: apt-get install espeak-ng"

    def voices(self) -> list[Voice]:
        return [Voice(f"{language}+{variant}", language.split("-")[0], f"espeak-{variant}",
                      "espeak-ng-klatt" if variant.startswith("klatt") else "espeak-ng")
                for language in self.LANGUAGES for variant in self.VARIANTS]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        return run_to_wav(["espeak-ng", "-v", utterance.voice, "-s", str(round(165 * utterance.rate)), "-p",
                           str(int(np.clip(50 * utterance.pitch, 5, 95))), "-w", "{out}", "-f", "{text}"],
                          text=utterance.text)


class Flite(Synthesiser):
    """CMU Flite: clustergen (rms, slt, awb) and diphone (kal) voices of English."""

    name, licence = "flite", "MIT-like (CMU)"
    VOICES = (Voice("slt", "en", "arctic-slt", "flite-clustergen", ("voice:slt",)),
              Voice("rms", "en", "arctic-rms", "flite-clustergen", ("voice:rms",)),
              Voice("awb", "en", "arctic-awb", "flite-clustergen", ("voice:awb",)),
              Voice("kal16", "en", "kal", "flite-diphone", ("voice:kal",)))

    def absent(self) -> str:
        return "" if shutil.which("flite") else "absent: apt-get install flite"

    def voices(self) -> list[Voice]:
        return list(self.VOICES)

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        return run_to_wav(["flite", "-voice", utterance.voice, "--setf", f"duration_stretch={1 / utterance.rate:.3f}",
                           "-f", "{text}", "-o", "{out}"], text=utterance.text)


class Festival(Synthesiser):
    """Festival with whatever voices are installed: HMM, diphone and unit selection in several languages."""

    name, licence = "festival", "MIT-like (CSTR); voices have their own"
    ROOT = Path("/usr/share/festival/voices")
    KNOWN: ClassVar[dict[str, tuple[str, str, str, tuple[str, ...]]]] = {  # voice: language, speaker, method, groups
        "cmu_us_slt_arctic_hts": ("en", "arctic-slt", "hmm", ("voice:slt",)),
        "kal_diphone": ("en", "kal", "diphone", ("voice:kal",)),
        "ked_diphone": ("en", "ked", "diphone", ()),
        "upc_ca_ona_hts": ("ca", "upc-ona", "hmm", ()),
        "czech_ph": ("cs", "czech-ph", "diphone", ()),
        "czech_dita": ("cs", "czech-dita", "diphone", ()),
        "czech_krb": ("cs", "czech-krb", "diphone", ()),
        "czech_machac": ("cs", "czech-machac", "diphone", ()),
        "suo_fi_lj_diphone": ("fi", "suo-lj", "diphone", ()),
        "hy_fi_mv_diphone": ("fi", "hy-mv", "diphone", ()),
        "pc_diphone": ("it", "it-pc", "diphone", ()),
        "lp_diphone": ("it", "it-lp", "diphone", ()),
        "msu_ru_nsh_clunits": ("ru", "festvox-ru-nsh", "unit-selection", ("voice:msu_ru_nsh",)),
    }

    def absent(self) -> str:
        if not shutil.which("text2wave"):
            return "absent: apt-get install festival"
        return "" if self.voices() else "no known voice installed: apt-get install festvox-kallpc16k"

    def voices(self) -> list[Voice]:
        installed = {path.name for path in self.ROOT.glob("*/*")}
        return [Voice(name, language, speaker, f"festival-{method}", groups)
                for name, (language, speaker, method, groups) in self.KNOWN.items() if name in installed]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        if utterance.voice not in self.KNOWN:  # the name goes into a Scheme expression
            raise NotSpoken(f"festival has no voice {utterance.voice!r}")
        stretch = f"(Parameter.set 'Duration_Stretch {1 / utterance.rate:.3f})"
        return run_to_wav(["text2wave", "-eval", f"(voice_{utterance.voice})", "-eval", stretch, "-o", "{out}", "{text}"],
                          text=utterance.text)


class OpenJTalk(Synthesiser):
    """Open JTalk: HMM synthesis of Japanese, with any .htsvoice on the usual paths or in pyopenjtalk."""

    name, licence = "open-jtalk", "BSD-3-Clause; voices have their own"
    DICTIONARY = Path("/var/lib/mecab/dic/open-jtalk/naist-jdic")
    ROOTS = (Path("/usr/share/hts-voice"), Path("/usr/local/share/hts-voice"))

    def absent(self) -> str:
        if not shutil.which("open_jtalk") or not self.DICTIONARY.is_dir():
            return "absent: apt-get install open-jtalk open-jtalk-mecab-naist-jdic"
        return "" if self.voices() else "no .htsvoice in /usr/share/hts-voice: pip install pyopenjtalk-plus has one"

    def _files(self) -> dict[str, Path]:
        package = importlib.util.find_spec("pyopenjtalk")
        inside = [Path(package.origin).parent / "htsvoice"] if package and package.origin else []
        found = [path for root in (*self.ROOTS, *inside) for path in sorted(root.rglob("*.htsvoice"))]
        return {path.stem: path for path in found if path.read_bytes()[:8] == b"[GLOBAL]"}  # licences are called so too

    def voices(self) -> list[Voice]:
        return [Voice(name, "ja", f"hts-{name}", "open-jtalk-hmm", (f"voice:{name}",)) for name in self._files()]

    def speak(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        path = self._files().get(utterance.voice)
        if path is None:
            raise NotSpoken(f"open-jtalk has no voice {utterance.voice!r}")
        return run_to_wav(["open_jtalk", "-x", str(self.DICTIONARY), "-m", str(path), "-r", f"{utterance.rate:.2f}",
                           "-fm", f"{12 * np.log2(utterance.pitch):.2f}", "-ow", "{out}", "{text}"], text=utterance.text)


@lru_cache(maxsize=1)
def synthesisers() -> Mapping[str, Synthesiser]:
    """Every adapter there is, by name, whether or not its engine is installed."""
    from core.training.synthesisers_neural import Hibari, Kokoro, Piper
    from core.training.synthesisers_packaged import Pico, PiperLibriTTS

    return {engine.name: engine for engine in (EspeakNG(), Flite(), Festival(), OpenJTalk(), Pico(), Piper(),
                                               PiperLibriTTS(), Kokoro(), Hibari())}


def speak(utterance: Utterance) -> np.ndarray:
    """Mono float32 at 16 kHz. Raises NotSpoken where the engine is absent or gave nothing usable."""
    import soxr

    engine = synthesisers().get(utterance.engine)
    if engine is None:
        raise NotSpoken(f"there is no synthesiser {utterance.engine!r}")
    missing = engine.absent()
    if missing:
        raise NotSpoken(f"{utterance.engine} is {missing}")
    try:
        samples, rate = engine.speak(utterance)
    except NotSpoken:
        raise
    except Exception as error:  # other people's engines fail in their own ways; the utterance is named and left out
        raise NotSpoken(f"{utterance.engine} failed with {type(error).__name__}: {error}") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise NotSpoken(f"{utterance.engine} gave no usable samples")
    return (soxr.resample(samples, rate, 16_000) if rate != 16_000 else samples).astype(np.float32)


@lru_cache(maxsize=1)
def texts() -> Mapping[str, list[str]]:
    """Sentences by language, written for this project."""
    return tomllib.loads((RECIPES / "texts.toml").read_text(encoding="utf-8"))
