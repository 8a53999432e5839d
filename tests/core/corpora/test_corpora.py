"""Every published layout is read as published, and every wrong row is named with its file and line."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.corpora import LAYOUTS, SIGNS, TITLES, CorpusFormatError, detect_layout, missing_audio, read_corpus
from core.corpora.deepfakes import read_spans
from tests.core.corpora.layouts import WRITERS, put

# layout: (label, system, family, speaker, language, codec, split) of each clip, in the protocol's order
EXPECTED = {
    "asvspoof2019-la": [("spoof", "A05", "vc", "LA_0069", "en", "", "dev"),
                        ("bonafide", "recording", "human", "LA_0079", "en", "", "train"),
                        ("spoof", "A01", "tts", "LA_0080", "en", "", "train")],
    "asvspoof2019-pa": [("bonafide", "recording", "human", "PA_0079", "en", "room:aaa", "train"),
                        ("spoof", "AA", "replay", "PA_0079", "en", "room:aaa", "train")],
    "asvspoof2021-la": [("spoof", "A07", "tts", "LA_0009", "en", "alaw/ita_tx", "eval"),
                        ("bonafide", "recording", "human", "LA_0020", "en", "", "progress")],
    "asvspoof2021-df": [("spoof", "A14", "vc", "LA_0023", "en", "", "progress"),
                        ("spoof", "Task1-team20", "vc", "TEF2", "en", "low_m4a", "eval"),
                        ("bonafide", "recording", "human", "LA_0043", "en", "mp3m4a", "eval")],
    "asvspoof5": [("spoof", "A24", "vc", "E_1607", "en", "C05/4", "eval"),
                  ("spoof", "A05", "tts", "T_4850", "en", "", "train"),
                  ("bonafide", "recording", "human", "T_0001", "en", "", "train")],
    "in-the-wild": [("spoof", "unknown", "tts", "Ada Lovelace", "en", "", ""),
                    ("bonafide", "recording", "human", "Hopper, Grace", "en", "", "")],
    "mlaad": [("spoof", "tts_models_cs_cv_vits", "tts", "", "cs", "", ""),
              ("spoof", "tts_models/de/thorsten/vits", "tts", "", "de", "", "")],
    "wavefake": [("spoof", "prompts_from_conformer_fastspeech2_pwg_ljspeech", "tts", "ljspeech", "en", "", ""),
                 ("spoof", "parallel_wavegan", "vocoder", "jsut", "ja", "", ""),
                 ("spoof", "melgan", "vocoder", "ljspeech", "en", "", ""),
                 ("bonafide", "recording", "human", "ljspeech", "en", "", "")],
    "partialspoof": [("spoof", "partialspoof-CON", "hybrid", "LA_0079", "en", "", "train"),
                     ("bonafide", "recording", "human", "LA_0079", "en", "", "train")],
    "codecfake": [("bonafide", "recording", "human", "", "", "", "train"),
                  ("spoof", "codec-1", "codec", "", "", "", "train")],
    "librispeech": [("bonafide", "recording", "human", "84", "en", "", "dev-clean")] * 2,
    "vctk": [("bonafide", "recording", "human", "p225", "en", "", "")] * 2,
    "common-voice": [("bonafide", "recording", "human", "abc", "cy", "", "train")],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_and_read_whole(layout: str, tmp_path: Path) -> None:
    WRITERS[layout](tmp_path)
    assert detect_layout(tmp_path) == layout
    items = list(read_corpus(layout, tmp_path))
    assert [(i.label, i.system, i.family, i.speaker, i.language, i.codec, i.split) for i in items] == EXPECTED[layout]
    assert not missing_audio(items)
    assert all(i.source == TITLES[layout] and i.licence for i in items)
    assert len({i.clip for i in items}) == len(items)
    assert all(i.bonafide == (i.family == "human") for i in items)


def test_every_layout_has_a_title_and_a_sign() -> None:
    assert set(LAYOUTS) == set(TITLES) == {name for name, _ in SIGNS} | {"in-the-wild"} == set(EXPECTED)


@pytest.mark.parametrize("layout", ["asvspoof2019-la", "asvspoof5", "in-the-wild", "mlaad", "librispeech",
                                    "common-voice"])
def test_missing_audio_is_listed_not_dropped(layout: str, tmp_path: Path) -> None:
    WRITERS[layout](tmp_path)
    before = list(read_corpus(layout, tmp_path))
    before[-1].path.unlink()
    after = list(read_corpus(layout, tmp_path))
    assert len(after) == len(before)
    assert [i.path for i in missing_audio(after)] == [before[-1].path]


@pytest.mark.parametrize(("row", "words"), [
    ("LA_0079 LA_T_1 - bonafide", "line 3: 4 columns"),
    ("LA_0079 LA_T_1 - - real-ish", "line 3: label"),
    ("LA_0079 LA_T_1 - A01 bonafide", "line 3: the label bonafide contradicts the system 'A01'"),
    ("LA_0079 LA_T_1 - - spoof", "line 3: the label spoof contradicts"),
    ("LA_0079 ../../etc/passwd - A01 spoof", "line 3: .* not a file name inside"),
    ("LA_0079 /etc/passwd - A01 spoof", "line 3: .* not a file name inside"),
    ("LA_0079 LA_T_1138215 - A01 spoof", "LA_T_1138215' twice, as bonafide and as spoof"),
])
def test_a_wrong_row_is_named_and_the_rest_still_read(row: str, words: str, tmp_path: Path) -> None:
    WRITERS["asvspoof2019-la"](tmp_path)
    protocol = next(tmp_path.rglob("*.trn.txt"))
    protocol.write_text(protocol.read_text() + row + "\n")
    with pytest.raises(CorpusFormatError, match=words):
        list(read_corpus("asvspoof2019-la", tmp_path))
    problems: list[CorpusFormatError] = []
    assert len(list(read_corpus("asvspoof2019-la", tmp_path, problems.append))) == 3
    assert len(problems) == 1


@pytest.mark.parametrize(("text", "words"), [
    ("file,name,label\n0.wav,x,spoof\n", "line 1: the column.* speaker"),
    ("file,speaker,label\n0.wav,x\n", "line 2: 2 columns where 3"),
    ("file,speaker,label\n0.wav,x,maybe\n", "line 2: label 'maybe'"),
    ("file,speaker,label\n..\\0.wav,x,spoof\n", "line 2: .* not a file name"),
])
def test_a_wrong_table_is_named(text: str, words: str, tmp_path: Path) -> None:
    put(tmp_path / "meta.csv", text)
    with pytest.raises(CorpusFormatError, match=words):
        list(read_corpus("in-the-wild", tmp_path))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_folder_is_refused_with_a_sentence(layout: str, tmp_path: Path) -> None:
    assert detect_layout(tmp_path) is None
    with pytest.raises(CorpusFormatError):
        list(read_corpus(layout, tmp_path))
    with pytest.raises(CorpusFormatError, match="not a folder"):
        list(read_corpus(layout, tmp_path / "absent"))


def test_a_protocol_in_bytes_is_refused(tmp_path: Path) -> None:
    WRITERS["asvspoof5"](tmp_path)
    next(tmp_path.rglob("ASVspoof5.train.tsv")).write_bytes(b"\xff\xfe\x00bytes")
    with pytest.raises(CorpusFormatError, match="cannot be read as text"):
        list(read_corpus("asvspoof5", tmp_path))


def test_partial_stretches_come_from_timestamps_never_from_pickles(tmp_path: Path) -> None:
    WRITERS["partialspoof"](tmp_path)
    pickled = np.array({"CON_T_0000029": pickle.dumps(print)}, object)
    np.save(tmp_path / "train_seglab_0.16.npy", pickled, allow_pickle=True)
    spoofed, real = read_corpus("partialspoof", tmp_path)
    assert spoofed.partial == ((0.5, 1.25),) and real.partial == ()
    next(tmp_path.rglob("*.rttm")).unlink()
    assert next(read_corpus("partialspoof", tmp_path)).partial == ()


def test_both_forms_of_stretches_say_the_same(tmp_path: Path) -> None:
    rttm = put(tmp_path / "a.rttm", "SPEAKER c 1 0.5 0.25 <NA> <NA> spoof <NA> <NA>\n")
    plain = put(tmp_path / "timestamps.txt", "c 0.00-0.50-bonafide 0.50-0.75-spoof\n")
    assert read_spans([rttm]) == read_spans([plain]) == {"c": ((0.5, 0.75),)}
    for text in ("c 0.7-0.5-spoof", "c nan-1-spoof", "c 1-spoof", "SPEAKER c 1 0 -1 x x spoof"):
        with pytest.raises(CorpusFormatError, match="line 1"):
            read_spans([put(tmp_path / "bad.txt", text)])


def test_codecfake_is_read_from_folders_too(tmp_path: Path) -> None:
    put(tmp_path / "encodec" / "p225_001.wav")
    put(tmp_path / "original" / "p225_001.wav")
    spoofed, real = read_corpus("codecfake", tmp_path)
    assert (spoofed.system, spoofed.family, spoofed.speaker) == ("encodec", "codec", "p225")
    assert real.bonafide and real.speaker == "p225"


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.wav")
    WRITERS["wavefake"](tmp_path / "in")
    (tmp_path / "in" / "generated_audio" / "ljspeech_melgan" / "leak.wav").symlink_to(outside)
    assert not [i for i in read_corpus("wavefake", tmp_path / "in") if "leak" in i.clip]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_text_whatever_breaks_a_reader(tmp_path: Path, text: str) -> None:
    protocol = tmp_path / "ASVspoof2019.LA.cm.train.trn.txt"
    protocol.write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "meta.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    for layout in ("asvspoof2019-la", "in-the-wild"):
        problems: list[CorpusFormatError] = []
        for item in read_corpus(layout, tmp_path, problems.append):
            assert item.path.resolve().is_relative_to(tmp_path.resolve())
