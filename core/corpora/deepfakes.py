"""Published corpora of synthetic speech: In-the-Wild, MLAAD, WaveFake, PartialSpoof, CodecFake.

References
----------
Müller et al. 2022, "Does audio deepfake detection generalize?".  Müller et al. 2024, "MLAAD".  Frank & Schönherr 2021,
"WaveFake".  Zhang et al. 2023, "The PartialSpoof database".  Xie et al. 2024, "The Codecfake dataset", arXiv 2405.04880.
Wu et al. 2024, "CodecFake" (resynthesised VCTK, one folder per codec).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from core.corpora.item import (
    Audio,
    CorpusFormatError,
    CorpusItem,
    Report,
    audio_files,
    dash,
    find,
    label_of,
    lines,
    safe_name,
    stop,
    table,
)

Spans = dict[str, tuple[tuple[float, float], ...]]


def in_the_wild(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``meta.csv`` (file, speaker, label) beside the audio. Speakers are public figures; systems are not known."""
    found = find(folder, "meta.csv", depth=1)
    if not found:
        report(CorpusFormatError(f"{folder} has no meta.csv."))
    for meta in found[:1]:
        def convert(row: dict[str, str], meta: Path = meta) -> CorpusItem:
            label = label_of(row["label"])
            real = label == "bonafide"
            name = safe_name(row["file"])
            return CorpusItem(meta.parent / name, name, label, "recording" if real else "unknown", "human" if real else
                              "tts", row["speaker"].strip(), "en", "", "", "see the corpus' own terms", "In-the-Wild")

        yield from table(meta, ("file", "speaker", "label"), convert, report)


def mlaad(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``fake/LANGUAGE/MODEL/`` with an optional ``meta.csv`` parted by ``|``; spoofed speech only."""
    root = folder if folder.name == "fake" else folder / "fake"
    models = sorted(p for p in root.glob("*/*") if p.is_dir())
    if not models:
        report(CorpusFormatError(f"{root} has no folders LANGUAGE/MODEL."))
    for model in models:
        language, meta = model.parent.name, model / "meta.csv"

        def convert(row: dict[str, str], model: Path = model, language: str = language) -> CorpusItem:
            name = Path(safe_name(row["path"])).name
            return _mlaad_item(model / name, row.get("model_name", "").strip() or model.name,
                               row.get("language", "").strip() or language)

        if meta.is_file():
            yield from table(meta, ("path",), convert, report, delimiter="|")
        else:
            yield from (_mlaad_item(path, model.name, language) for path in audio_files(model))


def _mlaad_item(path: Path, system: str, language: str) -> CorpusItem:
    return CorpusItem(path, "/".join(path.parts[-3:]), "spoof", system, "tts", "", language, "", "",
                      "CC BY-NC 4.0 (as stated by its publishers)", "MLAAD")


def wavefake(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """One folder per vocoder (``ljspeech_melgan``, ``jsut_parallel_wavegan`` ...); real LJSpeech or JSUT beside them."""
    root = folder / "generated_audio" if (folder / "generated_audio").is_dir() else folder
    vocoders = [p for p in sorted(root.iterdir()) if p.is_dir() and _is_wavefake(p.name)] if root.is_dir() else []
    if not vocoders:
        report(CorpusFormatError(f"{root} has no folders named like ljspeech_melgan."))
    licence = "CC BY-SA 4.0 (as stated by its publishers)"
    for vocoder in vocoders:
        voice, system = _wavefake_names(vocoder.name)
        for path in audio_files(vocoder):
            yield CorpusItem(path, f"{vocoder.name}/{path.relative_to(vocoder).as_posix()}", "spoof", system,
                             "tts" if "conformer" in vocoder.name else "vocoder", voice,
                             "ja" if voice == "jsut" else "en", "", "", licence, "WaveFake")
    for name, voice, language, terms in (("LJSpeech-1.1", "ljspeech", "en", "public domain"),
                                         ("jsut_ver1.1", "jsut", "ja", "CC BY-SA 4.0, parts non-commercial")):
        for real in find(folder, name, depth=1)[:1]:
            for path in audio_files(real):
                yield CorpusItem(path, f"{name}/{path.relative_to(real).as_posix()}", "bonafide", "recording", "human",
                                 voice, language, "", "", terms, "WaveFake")


def _is_wavefake(name: str) -> bool:
    return name.lower().startswith(("ljspeech_", "jsut_", "common_voices_"))


def _wavefake_names(folder: str) -> tuple[str, str]:
    if folder.startswith("common_voices_"):
        return "ljspeech", folder.removeprefix("common_voices_")
    voice, _, system = folder.partition("_")
    return voice, system


def partialspoof(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """``protocols/PartialSpoof_LA_cm_protocols/*.trl.txt`` beside ``{train,dev,eval}/con_wav``.

    Spoofed stretches come from RTTM files or lines ``NAME 0.00-1.20-bonafide 1.20-2.00-spoof`` anywhere below the
    folder. The corpus' own ``*_seglab_*.npy`` are pickles, which are never loaded: without timestamps a clip's stretches
    stay unknown, and its family says hybrid all the same.
    """
    found = find(folder, "PartialSpoof.LA.cm.*.trl.txt", depth=4)
    if not found:
        report(CorpusFormatError(f"{folder} has no protocol named like PartialSpoof.LA.cm.train.trl.txt."))
    spans = read_spans([*folder.rglob("*.rttm"), *folder.rglob("*timestamp*.txt")], report)
    for protocol in found:
        part = protocol.name.split(".")[3]
        root = protocol.parent.parent.parent
        audio = Audio([base / part / "con_wav" for base in (root, folder, folder / "database")], (".wav", ".flac"))

        def convert(row: list[str], part: str = part, audio: Audio = audio) -> CorpusItem:
            speaker, name, _, system, key = row
            label = label_of(key)
            real = label == "bonafide"
            if real != (dash(system) == ""):
                raise ValueError(f"the label {label} contradicts the system {system!r}")
            return CorpusItem(audio(safe_name(name)), name, label, "recording" if real else f"partialspoof-{system}",
                              "human" if real else "hybrid", speaker, "en", "", part, "see the corpus' own terms",
                              "PartialSpoof", () if real else spans.get(name, ()))

        yield from lines(protocol, (5,), convert, report)


def read_spans(files: list[Path], report: Report = stop) -> Spans:
    """Spoofed stretches (start_s, stop_s) by clip name, from RTTM or ``NAME start-stop-label ...`` lines."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(files):
        try:
            texts = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            report(CorpusFormatError(f"{path} cannot be read as text: {error}."))
            continue
        for number, text in enumerate(texts, 1):
            try:
                for name, start, stop_s, label in _spans_of(text.split()):
                    if label_of(label) == "spoof":
                        spans[name].append((start, stop_s))
            except ValueError as error:
                report(CorpusFormatError(f"{path}, line {number}: {error}."))
    return {name: tuple(sorted(found)) for name, found in spans.items()}


def _spans_of(parts: list[str]) -> Iterator[tuple[str, float, float, str]]:
    if not parts:
        return
    if parts[0] in ("SPEAKER", "SEGMENT"):  # RTTM: type, file, channel, start, duration, ortho, stype, name, ...
        if len(parts) < 8:
            raise ValueError(f"{len(parts)} columns where an RTTM line has at least 8")
        start, length = float(parts[3]), float(parts[4])
        found = [(parts[1], start, start + length, parts[7])]
    else:
        found = []
        for word in parts[1:]:
            pieces = word.split("-")
            if len(pieces) != 3:
                raise ValueError(f"{word!r} is not start-stop-label")
            found.append((parts[0], float(pieces[0]), float(pieces[1]), pieces[2]))
    for name, start, stop_s, label in found:
        if not (math.isfinite(start) and math.isfinite(stop_s) and 0 <= start < stop_s):
            raise ValueError(f"a stretch from {start} to {stop_s} s is not possible")
        yield name, start, stop_s, label


def codecfake(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Either ``label/*.txt`` (``NAME real|fake [codec]``) beside ``train``, ``dev`` ..., or a folder per codec.

    In the second form the folders are named after codecs, and the real speech is in one named ``original``, ``real``,
    ``bonafide``, ``vctk`` or ``gt``.
    """
    protocols = sorted((folder / "label").glob("*.txt")) if (folder / "label").is_dir() else []
    if not protocols:
        yield from _codec_folders(folder, report)
    for protocol in protocols:
        part = protocol.stem
        audio = Audio([folder / part, folder / part / "wav", folder], ("",))

        def convert(row: list[str], part: str = part, audio: Audio = audio) -> CorpusItem:
            name, key = safe_name(row[0]), row[1]
            label = label_of(key)
            real = label == "bonafide"
            codec = row[2] if len(row) > 2 else Path(name).stem.split("_")[0]
            if len(row) > 2 and real and codec not in ("0", "-"):
                raise ValueError(f"the label {key} contradicts the codec {codec!r}")
            name = name if Path(name).suffix else f"{name}.wav"
            return CorpusItem(audio(name), f"{part}/{name}", label, "recording" if real else f"codec-{codec}", "human" if
                              real else "codec", "", "", "", part, "see the corpus' own terms", "CodecFake")

        yield from lines(protocol, (2, 3), convert, report)


def _codec_folders(folder: Path, report: Report) -> Iterator[CorpusItem]:
    codecs = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not codecs:
        report(CorpusFormatError(f"{folder} has neither label/*.txt nor a folder per codec."))
    for codec in codecs:
        real = codec.name.lower() in ("original", "real", "bonafide", "vctk", "gt")
        for path in audio_files(codec):
            speaker = path.stem.split("_")[0]
            yield CorpusItem(path, f"{codec.name}/{path.relative_to(codec).as_posix()}", "bonafide" if real else "spoof",
                             "recording" if real else codec.name, "human" if real else "codec",
                             speaker if speaker.startswith(("p", "s")) else "", "en", "", "",
                             "see the corpus' own terms", "CodecFake")
