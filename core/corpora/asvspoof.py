"""ASVspoof 2019 (LA, PA), 2021 (LA, DF) and 5, as unpacked from their archives with the official protocols.

References
----------
Wang et al. 2020, "ASVspoof 2019", Computer Speech & Language 64.  Liu et al. 2023, "ASVspoof 2021", IEEE/ACM TASLP 31.
Wang et al. 2024, "ASVspoof 5", arXiv 2408.08739 (attack tables: arXiv 2502.08857).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.corpora.item import Audio, CorpusFormatError, CorpusItem, Report, dash, find, label_of, lines, safe_name, stop

LICENCE = "ODC-By 1.0 (as stated by the ASVspoof consortium)"
# Attacks that convert a voice; A13-A15 of 2019 convert synthetic speech. All others synthesise from text.
CONVERSION_2019 = {"A05", "A06", "A13", "A14", "A15", "A17", "A18", "A19"}
CONVERSION_5 = {"A13", "A15", "A16", "A24", "A25", "A26", "A27", "A32"}


def _checked(label: str, system: str) -> str:
    """The system's name. Raises ValueError where label and system contradict each other."""
    named = system not in ("", "-", "bonafide")
    if named != (label == "spoof"):
        raise ValueError(f"the label {label} contradicts the system {system!r}")
    return system if named else "recording"


def _protocols(folder: Path, report: Report, *patterns: str) -> list[Path]:
    found = find(folder, *patterns)
    if not found:
        report(CorpusFormatError(f"{folder} has no protocol named like {patterns[0]}."))
    return found


def _asvspoof2019(folder: Path, kind: str, report: Report) -> Iterator[CorpusItem]:
    for protocol in _protocols(folder, report, f"ASVspoof2019.{kind}.cm.*.tr[nl].txt",
                               f"ASVspoof2019_{kind}_cm_protocols/ASVspoof2019.{kind}.cm.*.tr[nl].txt"):
        part = protocol.name.split(".")[3]
        root = protocol.parent.parent
        audio = Audio([base / f"ASVspoof2019_{kind}_{part}" / "flac" for base in (root, folder)])

        def convert(row: list[str], part: str = part, audio: Audio = audio) -> CorpusItem:
            speaker, name, environment, system, key = row
            label = label_of(key)
            system = _checked(label, system)
            family = "replay" if kind == "PA" else "vc" if system in CONVERSION_2019 else "tts"
            return CorpusItem(audio(safe_name(name)), name, label, system, "human" if label == "bonafide" else family,
                              speaker, "en", f"room:{environment}" if kind == "PA" else "", part, LICENCE,
                              f"ASVspoof 2019 {kind}")

        yield from lines(protocol, (5,), convert, report)


def asvspoof2019_la(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Logical access: ``LA/ASVspoof2019_LA_cm_protocols/*.txt`` beside ``ASVspoof2019_LA_*/flac``."""
    return _asvspoof2019(folder, "LA", report)


def asvspoof2019_pa(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Physical access (replay): ``PA/ASVspoof2019_PA_cm_protocols/*.txt`` beside ``ASVspoof2019_PA_*/flac``."""
    return _asvspoof2019(folder, "PA", report)


def _asvspoof2021(folder: Path, kind: str, width: int, report: Report) -> Iterator[CorpusItem]:
    # The key archives of LA and DF have the same file names: the clips' own names tell them apart.
    found = [p for p in find(folder, "CM/trial_metadata.txt", "trial_metadata.txt", depth=4) if _is_key(p, kind)]
    if not found:
        report(CorpusFormatError(f"{folder} has no CM/trial_metadata.txt of ASVspoof 2021 {kind}."))
    title = f"ASVspoof2021_{kind}_eval"
    roots = [p / "flac" for p in find(folder, title)] or [folder / title / "flac"]
    audio = Audio([*roots, folder / "flac"])

    def convert(row: list[str]) -> CorpusItem:
        speaker, name, codec, origin, system, key, _trim, part = row[:8]
        label = label_of(key)
        system = _checked(label, system)
        converted = system in CONVERSION_2019 or origin.startswith("vcc")
        family = "human" if label == "bonafide" else "vc" if converted else "tts"
        channel = "" if codec in ("-", "none", "nocodec") else codec
        if kind == "LA" and channel and origin != "-":
            channel += f"/{origin}"
        return CorpusItem(audio(safe_name(name)), name, label, system, family, speaker, "en", channel, part, LICENCE,
                          f"ASVspoof 2021 {kind}")

    for protocol in found[:1]:
        yield from lines(protocol, (8, width), convert, report)


def _is_key(path: Path, kind: str) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            row = file.readline().split()
    except OSError:
        return False
    return len(row) > 1 and row[1].startswith(f"{kind}_")


def asvspoof2021_la(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Logical access over telephone channels: ``keys/LA/CM/trial_metadata.txt``, ``ASVspoof2021_LA_eval/flac``."""
    return _asvspoof2021(folder, "LA", 8, report)


def asvspoof2021_df(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Deepfakes through lossy codecs: ``keys/DF/CM/trial_metadata.txt``, ``ASVspoof2021_DF_eval/flac``."""
    return _asvspoof2021(folder, "DF", 13, report)


def asvspoof5(folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """Track 1: ``ASVspoof5.{train,dev.track_1,eval.track_1}.tsv`` (columns parted by white space) beside ``flac_*``."""
    folders = {"train": ("flac_T",), "dev": ("flac_D",), "eval": ("flac_E_eval", "flac_E_prog", "flac_E")}
    for protocol in _protocols(folder, report, "ASVspoof5.train.tsv", "ASVspoof5.*.track_1.tsv",
                               "ASVspoof5_protocols/ASVspoof5.*.tsv"):
        part = protocol.name.split(".")[1]
        if part not in folders or ".track_2" in protocol.name:
            continue
        bases = (folder, protocol.parent, protocol.parent.parent)
        audio = Audio([base / name for base in bases for name in folders[part]])

        def convert(row: list[str], part: str = part, audio: Audio = audio) -> CorpusItem:
            speaker, name, _gender, codec, quality, _seed, _tag, attack, key, _tmp = row
            label = label_of(key)
            system = _checked(label, attack)
            family = "human" if label == "bonafide" else "vc" if system in CONVERSION_5 else "tts"
            channel = f"{codec}/{quality}" if dash(codec) else ""
            return CorpusItem(audio(safe_name(name)), name, label, system, family, speaker, "en", channel, part, LICENCE,
                              "ASVspoof 5")

        yield from lines(protocol, (10,), convert, report)
