"""More than one voice: known answers of the measure, and what is said where it can't be taken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.speaker import several
from core.speaker.listen import Spans
from core.speaker.several import compare_spans, examine_speakers, row_of, speakers_row, voices
from tests.core.speaker.tiny import tiny_networks
from tests.factories import recording, voiced


def spans(*voices: tuple[np.ndarray, int], speech_s: float = 2.0) -> Spans:
    """Spans of two seconds every second: for each voice its direction and how many."""
    directions = np.concatenate([np.tile(v, (n, 1)) for v, n in voices])
    frames = np.array([(100 * i, 100 * i + 200) for i in range(len(directions))])
    return Spans(directions.astype(np.float32), frames, np.full(len(directions), speech_s))


A, B = np.eye(8)[0], np.eye(8)[1]


def test_one_voice_has_no_distance_and_two_have_theirs():
    assert compare_spans(spans((A, 8)), 0.5).distance == pytest.approx(0.0, abs=1e-6)
    two = compare_spans(spans((A, 6), (B, 5)), 0.5)
    assert two.distance == pytest.approx(1.0, abs=1e-6) and two.several is True
    assert two.groups.tolist() == [0] * 6 + [1] * 5
    (other,) = voices(two)
    assert (other.start_s, other.stop_s, other.label) == (6.0, 12.0, "voice 2")


def test_a_scrap_of_another_voice_is_too_little():
    found = compare_spans(spans((A, 8), (B, 1)), 0.5)
    assert found.distance == pytest.approx(0.0, abs=1e-6), "one second of its own, two are needed"


def test_order_and_turning_all_voices_change_nothing():
    rng = np.random.default_rng(0)
    points = np.concatenate([A + 0.2 * rng.normal(size=(7, 8)), B + 0.2 * rng.normal(size=(6, 8))])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    frames = np.array([(200 * i, 200 * i + 200) for i in range(13)])
    order = rng.permutation(13)
    values = [compare_spans(Spans(p.astype(np.float32), frames, np.full(13, 2.0)), None).distance
              for p in (points, points @ turn, points[order])]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


def test_nothing_to_compare_is_not_examined():
    for few in (spans((A, 1)), spans((A, 5), speech_s=0.4)):
        row = row_of(compare_spans(few, 0.5))
        assert row.passed is None and "not examined" in row.message
    assert row_of(compare_spans(spans((A, 5)), None)).passed is None


def test_the_check_is_advice_and_never_forbids_a_finding():
    row = row_of(compare_spans(spans((A, 6), (B, 5)), 0.5))
    assert row.passed is False and not row.fatal and row.state == "advice" and "Speaker page" in row.message
    assert row_of(compare_spans(spans((A, 6)), 0.5)).state == "passed"


def test_a_limit_belongs_to_the_weights_it_was_measured_with(monkeypatch, tmp_path):
    networks = tiny_networks()
    monkeypatch.setattr(several, "MEASURED", tmp_path / "several.json")
    for encoder, limit in ((networks.encoder_sha256, 0.4), ("another", None)):
        several.MEASURED.write_text(json.dumps({"encoder_sha256": encoder, "limit": 0.4}))
        several.measured.cache_clear()
        assert several.limit_for(networks) == limit
    several.measured.cache_clear()


def test_a_recording_is_measured_and_a_missing_network_is_said(monkeypatch):
    import core.speaker.networks as found

    networks = tiny_networks()
    sound = recording(np.concatenate([voiced(6.0, seed=1), voiced(6.0, seed=2, pitch_hz=220)]))
    assert examine_speakers(sound, networks).distance >= 0
    monkeypatch.setattr(found, "shipped", lambda device: networks)
    assert "no limit was measured" in speakers_row(sound).message
    monkeypatch.undo()
    monkeypatch.setattr(found, "ENCODER", "nothing-of-this-name")
    assert "aren't installed" in speakers_row(sound).message
