"""Cutting, mixing, and the command: exact samples, known truths, exit statuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

import core.speaker.networks as found
from core.__main__ import main
from core.errors import InvalidOption
from core.segments import Segment
from core.speaker.card import share_curves
from core.speaker.mixture import OVERLAP, TURNS, agreement, mix
from core.speaker.parts import FADE, as_recording, cut, examine_only
from tests.core.speaker.tiny import tiny_networks
from tests.factories import recording, sound_bytes, voiced
from tests.tiny_detector import make_detector


def test_cuts_are_exact_and_fade_only_at_cuts():
    samples = voiced(3.0, seed=1)
    whole = cut(samples, [Segment(0.0, 3.0, "all")])
    np.testing.assert_array_equal(whole, samples)
    pieces = cut(samples, [Segment(0.5, 1.0, "a"), Segment(2.0, 2.25, "b")])
    assert len(pieces) == 8_000 + 4_000
    np.testing.assert_array_equal(pieces[FADE : 8_000 - FADE], samples[8_000 + FADE : 16_000 - FADE])
    assert abs(pieces[0]) < 1e-6 and abs(pieces[7_999]) < 1e-6
    assert cut(samples, []).size == 0


def test_kept_speech_is_a_recording_of_its_own(tmp_path):
    sound = recording(voiced(8.0, seed=2), "case 7.wav")
    chosen = [Segment(0.0, 3.0, "a"), Segment(4.0, 7.0, "a")]
    alone = as_recording(sound, chosen, "this speaker only")
    assert alone.name == "case 7 (this speaker only).wav" and len(alone.samples) == 96_000
    assert alone.sha256 != sound.sha256
    finding = examine_only(sound, chosen, model=make_detector(tmp_path / "tiny")).finding
    assert finding.llr_log10 is not None
    with pytest.raises(InvalidOption, match=r"Only 0\.5 s"):
        as_recording(sound, [Segment(0.0, 0.5, "a")], "x")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_turns_have_the_asked_share_and_a_known_owner(share):
    mixed = mix(voiced(16.0, seed=1), voiced(16.0, seed=2, pitch_hz=220), share, TURNS)
    spoken = mixed.target.sum() + mixed.other.sum()
    assert mixed.other.sum() / spoken == pytest.approx(share, abs=0.08)
    assert not (mixed.target * mixed.other).any(), "by turns nobody interrupts"
    assert len(mixed.enrolment) == 96_000 and np.abs(mixed.samples).max() <= 1.0


def test_overlap_adds_and_its_level_is_as_asked():
    a, b = voiced(16.0, seed=1), voiced(16.0, seed=2, pitch_hz=220)
    quiet, loud = (mix(a, b, 0.5, OVERLAP, snr_db=snr) for snr in (20.0, 0.0))
    plain = mix(a, b, 0.0, OVERLAP)
    power = [np.mean((m.samples - plain.samples) ** 2) for m in (quiet, loud)]
    assert 10 * np.log10(power[1] / power[0]) == pytest.approx(20.0, abs=0.5)
    assert (loud.target * loud.other).any() and not plain.other.any()


def test_mixtures_that_make_no_sense_are_refused():
    for share in (-0.1, 0.9):
        with pytest.raises(InvalidOption):
            mix(voiced(10.0), voiced(10.0), share)
    with pytest.raises(InvalidOption, match="too short"):
        mix(voiced(2.0), voiced(10.0), 0.5)


def test_agreement_has_known_answers():
    mixed = mix(voiced(16.0, seed=1), voiced(16.0, seed=2), 0.5)
    right = agreement(mixed.target, mixed, 0.5)
    assert right == {"auc": 1.0, "target kept": 1.0, "other rejected": 1.0}
    assert agreement(1 - mixed.target, mixed, 0.5)["auc"] == 0.0
    assert agreement(np.full_like(mixed.target, 0.7), mixed, 0.5)["auc"] == 0.5
    assert agreement(mixed.target, mix(voiced(16.0), voiced(16.0), 0.0), 0.5)["auc"] is None


def test_the_cards_curves_come_in_order():
    cards = {"svvad-tiny": {"curves": {"0.4": {"raw": [0.2, 0.1, 0.3]}, "0": {"raw": [0.1, 0.05, 0.2]}}}}
    assert share_curves(cards) == {"raw": [(0.0, 0.1, 0.05, 0.2), (0.4, 0.2, 0.1, 0.3)]} and share_curves({}) == {}


# ---- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    networks = tiny_networks()
    monkeypatch.setattr(found, "shipped", lambda device="auto": networks)
    for name, seed, seconds in (("a", 1, 6.0), ("b", 2, 6.0), ("t", 3, 8.0), ("scrap", 4, 0.9)):
        (tmp_path / f"{name}.wav").write_bytes(sound_bytes(voiced(seconds, seed=seed)))
    return tmp_path


def verify(*arguments) -> int:
    return main(["verify", *map(str, arguments)])


def test_a_verdict_has_status_0_and_the_numbers_of_the_json(files, capsys):
    arguments = (files / "t.wav", "--enrol", files / "a.wav", files / "b.wav", "--threshold", "0.4")
    assert verify(*arguments) == 0
    text = capsys.readouterr().out
    assert "The kept speech is" in text and "log10 LR = " in text and "More than one voice: not examined" in text
    assert verify(*arguments, "--json", "--no-curves") == 0
    report = json.loads(capsys.readouterr().out)
    assert f"{report['likeness']['kept']['cosine']:.3f} kept" in text and "tracks" not in report
    assert len(report["enrolment"]["references"]) == 2


def test_abstaining_has_status_3_and_failing_2(files, capsys):
    assert verify(files / "a.wav", "--enrol", files / "a.wav") == 3
    assert "same-recording" in capsys.readouterr().out
    assert verify(files / "nothing.wav", files / "t.wav", "--enrol", files / "a.wav") == 2
    assert "can't be opened" in capsys.readouterr().err
    assert verify(files / "t.wav", "--enrol", files / "a.wav", "--threshold", "2") == 2
    assert verify(files / "t.wav", "--enrol", files / "nothing.wav") == 2


def test_another_encoder_is_asked_on_request_and_never_fetched_unasked(files, capsys):
    from tests.tiny_xvector import make_xvector

    folder = make_xvector(files / "theirs", "unispeech-sat")
    arguments = (files / "t.wav", "--enrol", files / "a.wav", "--also", folder)
    assert verify(*arguments) == 0
    assert "second encoder theirs, uncalibrated cosine" in capsys.readouterr().out
    assert verify(*arguments, "--json") == 0
    said = json.loads(capsys.readouterr().out)["second_encoder"]
    assert said["name"] == "theirs" and said["calibrated"] is False and -1 <= said["cosine"]["raw"] <= 1
    assert verify(*arguments[:3], "--also", "nobody/has-this-model") == 2
    assert "not on this machine" in capsys.readouterr().err


def test_stretches_are_written_and_the_voice_examined_alone(files, capsys, monkeypatch):
    import models.registry

    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(make_detector(files / "tiny")))
    out = files / "out"
    assert verify(files / "t.wav", "--enrol", files / "a.wav", "--into", out, "--only", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["only_this_speaker"]["sentence"]
    written = {f.name.split(".", 1)[1] for f in out.iterdir()}
    assert {"kept.csv", "kept.rttm", "kept.txt", "kept.wav", "rejected.csv"} <= written
    rows = next(out.glob("*.kept.csv")).read_text().splitlines()
    assert len(rows) == 1 + len(report["segments"]["kept"])
