"""Published corpora in their own layouts: one reader per corpus, one kind of item for all of them.

``read_corpus("asvspoof2019-la", folder)`` yields a :class:`CorpusItem` per clip of the protocol, in its order, whether or
not the audio is there. Adding a corpus is one function in a file here and one line in ``LAYOUTS`` and ``SIGNS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from core.corpora import asvspoof, deepfakes, speech
from core.corpora.item import CorpusFormatError, CorpusItem, Report, find, missing_audio, stop

__all__ = ["LAYOUTS", "TITLES", "CorpusFormatError", "CorpusItem", "detect_layout", "missing_audio", "read_corpus"]

LAYOUTS: dict[str, Callable[..., Iterator[CorpusItem]]] = {
    "asvspoof2019-la": asvspoof.asvspoof2019_la,
    "asvspoof2019-pa": asvspoof.asvspoof2019_pa,
    "asvspoof2021-la": asvspoof.asvspoof2021_la,
    "asvspoof2021-df": asvspoof.asvspoof2021_df,
    "asvspoof5": asvspoof.asvspoof5,
    "in-the-wild": deepfakes.in_the_wild,
    "mlaad": deepfakes.mlaad,
    "wavefake": deepfakes.wavefake,
    "partialspoof": deepfakes.partialspoof,
    "codecfake": deepfakes.codecfake,
    "librispeech": speech.librispeech,
    "vctk": speech.vctk,
    "common-voice": speech.common_voice,
}

TITLES = {
    "asvspoof2019-la": "ASVspoof 2019 LA", "asvspoof2019-pa": "ASVspoof 2019 PA", "asvspoof2021-la": "ASVspoof 2021 LA",
    "asvspoof2021-df": "ASVspoof 2021 DF", "asvspoof5": "ASVspoof 5", "in-the-wild": "In-the-Wild", "mlaad": "MLAAD",
    "wavefake": "WaveFake", "partialspoof": "PartialSpoof", "codecfake": "CodecFake", "librispeech": "LibriSpeech",
    "vctk": "VCTK", "common-voice": "Common Voice",
}

# What gives a layout away, in the order of trying: the most particular first.
SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("partialspoof", ("PartialSpoof.LA.cm.*.trl.txt",)),
    ("asvspoof2019-la", ("ASVspoof2019.LA.cm.*.tr[nl].txt",)),
    ("asvspoof2019-pa", ("ASVspoof2019.PA.cm.*.tr[nl].txt",)),
    ("asvspoof5", ("ASVspoof5.train.tsv", "ASVspoof5.*.track_1.tsv")),
    ("asvspoof2021-df", ("ASVspoof2021_DF_eval", "keys/DF/CM/trial_metadata.txt", "DF/CM/trial_metadata.txt")),
    ("asvspoof2021-la", ("ASVspoof2021_LA_eval", "keys/LA/CM/trial_metadata.txt", "LA/CM/trial_metadata.txt")),
    ("mlaad", ("fake/*/*/meta.csv", "fake/*/*/*.wav")),
    ("wavefake", ("ljspeech_melgan", "ljspeech_hifiGAN", "ljspeech_*wavegan", "jsut_*wavegan", "generated_audio")),
    ("common-voice", ("clips/../validated.tsv", "clips/../train.tsv")),
    ("vctk", ("wav48_silence_trimmed", "wav48")),
    ("codecfake", ("label/train.txt", "label/dev.txt", "label/C[0-9].txt")),
    ("librispeech", ("*-*.trans.txt",)),
)


def detect_layout(folder: Path) -> str | None:
    """The layout that a folder's files give away, or None. Looks at names only, down to four levels."""
    if not folder.is_dir():
        return None
    for layout, patterns in SIGNS:
        if find(folder, *patterns, depth=4 if layout in ("librispeech", "partialspoof") else 3):
            return layout
    meta = folder / "meta.csv"
    if meta.is_file():
        with meta.open(encoding="utf-8", errors="replace") as file:
            if [word.strip() for word in file.readline(1000).split(",")][:3] == ["file", "speaker", "label"]:
                return "in-the-wild"
    return None


def read_corpus(layout: str, folder: Path, report: Report = stop) -> Iterator[CorpusItem]:
    """The items of a corpus, in the order of its protocols.

    layout : a key of ``LAYOUTS``. report : what to do with a wrong row; by default it is raised as CorpusFormatError
    naming file and line, a function that collects instead lets the reading go on. A clip named twice is such an error,
    too. Missing audio is no error here: see :func:`missing_audio`.
    """
    if layout not in LAYOUTS:
        raise CorpusFormatError(f"There is no corpus layout {layout!r}; known are {', '.join(LAYOUTS)}.")
    if not folder.is_dir():
        raise CorpusFormatError(f"{folder} is not a folder.")
    return _unique(layout, folder, report)


def _unique(layout: str, folder: Path, report: Report) -> Iterator[CorpusItem]:
    seen: dict[str, str] = {}
    for item in LAYOUTS[layout](folder, report):
        if item.clip in seen:
            report(CorpusFormatError(f"{folder}: {TITLES[layout]} names the clip {item.clip!r} twice, as "
                                     f"{seen[item.clip]} and as {item.label}."))
            continue
        seen[item.clip] = item.label
        yield item
