"""The studies run from folders of voices and count as they say; the networks here know nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import numpy as np
import pytest

import models.registry
from core.speaker import measured as written
from core.speaker import study, study_alone, study_several
from core.speaker.measured import alone_page, alone_words, several_words
from core.training.corpus import write_csv, write_views
from core.training.speaker_data import Voice
from tests.core.speaker.tiny import tiny_networks
from tests.factories import voiced
from tests.tiny_detector import make_detector


@pytest.fixture
def folder(tmp_path, monkeypatch):
    networks = tiny_networks()
    for module in (study_alone, study_several):
        monkeypatch.setattr(module, "shipped", lambda device: networks)
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(make_detector(tmp_path / "tiny")))
    (tmp_path / "audio").mkdir()
    rows = []
    for i, (label, pitch) in enumerate((("bonafide", 100), ("bonafide", 140), ("bonafide", 190), ("bonafide", 230),
                                        ("spoof", 120), ("spoof", 210))):
        for clip in range(5):
            path = tmp_path / "audio" / f"{i}-{clip}.npy"
            write_views(path, voiced(5.0, seed=10 * i + clip, pitch_hz=pitch)[None])
            rows.append(asdict(Voice(path.stem, str(path), f"s{i}", "one kind", label, "held-out", 5.0, "none")))
    rows.append(rows[0] | {"name": "other", "part": "train", "speaker": "trained"})
    write_csv(tmp_path / "voices.csv", rows, [f.name for f in fields(Voice)])
    return tmp_path


def test_only_held_out_voices_with_enough_speech_take_part(folder):
    assert [p.name for p in study.people([folder], 20.0)] == [f"s{i}" for i in range(6)]
    assert study.people([folder], 26.0) == []
    person = study.people([folder], 20.0)[0]
    x, used = person.sound(6.0)
    assert len(x) == 96_000 and used == 2
    assert len(person.sound(60.0, 4)[0]) == 80_000 + 2_400, "no clip is used twice"


def test_a_mixture_keeps_its_enrolments_out_and_knows_its_owner(folder):
    pair = tuple(study.people([folder], 20.0)[:2])
    x, owner, enrolments = study_alone.mixture(pair, 0.3)
    assert owner.mean() == pytest.approx(0.3, abs=0.02) and len(x) == len(owner)
    assert all(len(e) == 96_000 for e in enrolments)


def test_every_mixture_is_asked_about_both_voices(folder, monkeypatch):
    found = study_alone.measure([folder], 1)
    assert found["questions"] == 2 and {r["asked"] for r in found["cases"]} == {"bona fide", "synthetic"}
    assert found["right"]["whole"][0] in (0.5, 0.0), "the whole's answer is right for one of the two, or there is none"
    assert found["moved_to_right"] - found["moved_to_wrong"] == pytest.approx(2 * found["alone_less_whole"][0])
    json.dumps(found, allow_nan=False)
    page = alone_page(found)
    assert "1 mixtures" in page and "| the whole recording | " in page and found["detector_sha256"][:12] in page
    monkeypatch.setattr(written, "ALONE", folder / "alone.json")
    assert alone_words(found["networks_sha256"]) == ""
    written.ALONE.write_text(json.dumps(found))
    assert "of 2 questions" in alone_words(found["networks_sha256"]) and alone_words("other networks") == ""


def test_the_limit_lets_one_recording_in_twenty_through(folder):
    assert study_several.limit_of([*np.linspace(0, 1, 101), None]) == pytest.approx(0.95)
    found = study_several.measure([folder], 2)
    assert "4 held-out speakers" in several_words(found) and several_words({}) == ""
    assert found["speakers"] == 4 and found["encoder_sha256"] == "tiny encoder 0" and found["limit"] >= 0
    json.dumps(found, allow_nan=False)


def test_shares_have_intervals_over_groups():
    right, groups = np.array([1.0, 1, 0, 0]), ["a", "a", "b", "b"]
    mean, low, high = study.share_interval(right, groups)
    assert (mean, low, high) == (0.5, 0.0, 1.0)
