"""Labelled clips: folders and CSVs, nothing dropped silently, the polarity verdict as a rank test, and the command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.__main__ import main
from core.detectors import store
from core.detectors.calibration import cross_validated
from core.detectors.labelled import LabelledClip, Scored, read_labelled, score_clips, thinned
from core.detectors.polarity import Polarity, auc, bundled_clips, verdict
from core.errors import InvalidOption
from tests.core.detectors.tiny import save_tiny


def scored(b, s, groups: int | None = None) -> Scored:
    names = [[str(i if groups is None else i % groups) for i in range(len(x))] for x in (b, s)]
    return Scored(np.asarray(b, float), np.asarray(s, float), *names)


def test_folder_and_csv_say_the_same(labelled, tmp_path):
    rows = ["path,label,speaker,system"]
    for clip in read_labelled(labelled):
        rows.append(f"{clip.path},{'bonafide' if clip.bonafide else 'spoof'},ann,")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    from_csv = read_labelled(tmp_path / "list.csv")
    assert [(c.path, c.bonafide) for c in from_csv] == [(c.path, c.bonafide) for c in read_labelled(labelled)]
    assert {c.group for c in from_csv if c.bonafide} == {"ann"} and {c.group for c in from_csv if not c.bonafide} == {""}


def test_subfolders_name_speakers_and_systems(tmp_path):
    for place in ("bonafide/ann/1.wav", "bonafide/2.wav", "spoof/vits/deeper/3.wav"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    assert {c.path.name: c.group for c in read_labelled(tmp_path)} == {"1.wav": "ann", "2.wav": "", "3.wav": "vits"}


@pytest.mark.parametrize(("body", "words"), [
    ("", "columns path and label"), ("path,kind\na.wav,real\n", "columns path and label"),
    ("path,label\na.wav,maybe\n", "line 2"), ("path,label\n,spoof\n", "line 2"),
    ("path,label\na.wav,spoof\n", "both labels"), ("path,label\na.wav,spoof\na.wav,bonafide\n", "both labels"),
])  # fmt: skip
def test_a_bad_list_names_its_fault(tmp_path, body, words):
    (tmp_path / "list.csv").write_text(body)
    with pytest.raises(InvalidOption, match=words):
        read_labelled(tmp_path / "list.csv")


def test_a_missing_or_lopsided_folder_is_said(tmp_path):
    for place, words in ((tmp_path / "none", "There is no labelled"), (tmp_path, "subfolders bonafide and spoof")):
        with pytest.raises(InvalidOption, match=words):
            read_labelled(place)
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,spoof\n")
    with pytest.raises(InvalidOption, match="UTF-8"):
        read_labelled(tmp_path / "list.csv")


def test_nothing_is_dropped_silently(labelled, tmp_path):
    from core import detectors

    folder = tmp_path / "clips"
    shutil.copytree(labelled, folder)
    (folder / "spoof" / "bad.wav").write_bytes(b"words")
    shutil.copy(folder / "spoof" / "1.wav", folder / "spoof" / "again.wav")
    shutil.copy(folder / "spoof" / "2.wav", folder / "bonafide" / "liar.wav")
    clips = [*read_labelled(folder), LabelledClip(folder / "gone.wav", True)]
    found = score_clips(detectors.load(save_tiny(tmp_path / "m", "wav2vec2"), "cpu"), clips)
    assert found.bonafide.size == 10 and found.spoof.size == 9
    assert found.labels.size + len(found.dropped) == len(clips)
    reasons = dict(found.dropped)
    assert {"bad.wav", "again.wav", "gone.wav", "2.wav", "liar.wav"} == set(reasons)
    assert "both labels" in reasons["liar.wav"] and "same bytes" in reasons["again.wav"]


@given(*[st.lists(st.integers(-50, 50), min_size=1, max_size=20)] * 2)
def test_auc_is_the_share_of_pairs(b, s):
    pairs = [(x > y) + 0.5 * (x == y) for x in b for y in s]
    assert auc(b, s) == pytest.approx(np.mean(pairs)) and auc(b, s) + auc(s, b) == pytest.approx(1)
    assert auc(np.exp(np.array(b) / 50), np.exp(np.array(s) / 50)) == pytest.approx(auc(b, s))


def test_the_verdict_needs_clips_distance_and_certainty():
    rng = np.random.default_rng(0)
    clear, same = rng.normal([[2.0], [0.0]], 1.0, (2, 60)), rng.normal(0, 1, (2, 60))
    assert verdict(scored(*clear), stated=True).state == "verified"
    assert verdict(scored(*clear[::-1]), stated=True).state == "contradicted"
    assert verdict(scored(*same), stated=True).state == "untold"
    assert verdict(scored(clear[0, :7], clear[1]), stated=True).state == "untold"
    tiny = rng.normal([[0.2], [0.0]], 1.0, (2, 4_000))  # certain, but too near to a coin's
    assert verdict(scored(*tiny), stated=True).state == "untold"
    assert verdict(scored(np.ones(20), np.ones(20)), stated=True).state == "untold"


def test_ten_clips_perfectly_apart_are_not_certainty():
    few, many = (verdict(scored(np.arange(n) + 1_000, np.arange(n)), stated=True) for n in (10, 200))
    assert few.auc == many.auc == 1.0 and few.state == many.state == "verified"
    assert 0.7 < few.low < 0.95 < many.low < 1.0 and few.high == many.high == 1.0
    turned = verdict(scored(np.arange(10), np.arange(10) + 100), stated=True)
    assert turned.high == pytest.approx(1 - few.low) and turned.state == "contradicted"


def test_clips_of_one_voice_count_less_than_clips_of_many():
    rng = np.random.default_rng(1)
    voice = np.repeat(rng.normal(0.8, 1.0, 4), 15)  # four voices, fifteen clips each
    b, s = voice + rng.normal(0, 0.1, 60), rng.normal(0, 1, 60)
    narrow = verdict(scored(b, s), stated=True)
    grouped = Scored(b, s, [str(i // 15) for i in range(60)], [str(i) for i in range(60)])
    wide = verdict(grouped, stated=True)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_verdict_survives_its_file_and_nonsense_is_none():
    few = verdict(scored([1, 2], [0]), stated=True)
    kept = Polarity.from_json(json.loads(json.dumps(few.to_json())))
    assert kept.state == "untold" and kept.sentence == few.sentence and np.isnan(kept.low)
    for bad in (None, {}, {"state": "fine"}, few.to_json() | {"state": "fine"}, few.to_json() | {"auc": "x"}):
        assert Polarity.from_json(bad) is None


def test_the_bundled_examples_have_known_truths():
    clips = bundled_clips()
    assert len(clips) == 7 and sum(c.bonafide for c in clips) == 3


@given(st.integers(1, 30), st.lists(st.sampled_from("abcde"), min_size=1, max_size=60))
def test_thinning_takes_turns_and_repeats_itself(most, groups):
    from pathlib import Path

    clips = [LabelledClip(Path(f"{i}.wav"), True, group) for i, group in enumerate(groups)]
    chosen = thinned(clips, most)
    assert len(chosen) == min(most, len(clips)) == len(set(chosen)) and chosen == thinned(clips, most)
    if most >= len(set(groups)):
        assert {c.group for c in chosen} == set(groups)


def test_cross_validation_never_sees_its_own_group():
    """A group with scores of its own kind gets a calibration fitted without it: shuffled labels give no information."""
    rng = np.random.default_rng(2)
    llr = cross_validated(scored(rng.normal(2, 1, 50), rng.normal(0, 1, 50)))
    assert llr[:50].mean() > 0.3 and llr[50:].mean() < -0.3
    assert cross_validated(scored([1, 2, 3], [0, 1, 2], groups=1)) is None


# The command


def test_the_command_calibrates_and_keeps_it_in_the_data_folder(labelled, tmp_path, capsys):
    folder = save_tiny(tmp_path / "model", "wav2vec2")
    assert main(["calibrate", str(folder), str(labelled), "--device", "cpu", "--spoof-index", "0",
                 "--exposure", "made here", "--quiet"]) == 0
    out = capsys.readouterr().out
    for words in ("polarity is verified", "Equal error rate", "[", "Cllr", "cross-validated", "log10 LRs from"):
        assert words in out
    record = store.records()[0]
    assert record.name == "model" and store.read_card(record.files_sha256).exposure == "made here"
    assert main(["calibrate", "model", str(labelled), "--device", "cpu", "--json", "--dry-run"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["polarity"]["state"] == "verified" and again["cllr_after"] < again["cllr_before"] + 1


@pytest.mark.parametrize(("arguments", "status"), [
    (["--spoof-index", "1"], 3), (["--spoof-index", "7"], 2), (["--sample-rate", "1"], 2), (["--card", "none.json"], 2),
    (["--most", "0"], 2), (["--most", "4"], 3), (["--window", "0.5", "--dry-run"], 0)])  # fmt: skip
def test_exit_statuses(labelled, tmp_path, arguments, status, capsys):
    folder = save_tiny(tmp_path / "model", "wav2vec2")
    assert main(["calibrate", str(folder), str(labelled), "--device", "cpu", "--quiet", *arguments]) == status
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and (status != 2 or captured.err.startswith("error: "))
    assert not list(folder.glob("calibration*"))


def test_what_is_no_detector_is_said(labelled, tmp_path, capsys):
    assert main(["calibrate", str(tmp_path / "none"), str(labelled)]) == 2
    assert main(["calibrate", str(save_tiny(tmp_path / "m", "wav2vec2")), str(tmp_path / "none")]) == 2
    assert "There is no detector" in (words := capsys.readouterr().err) and "There is no labelled" in words
