"""Taking a part out of a recording: the parts add up, a planted sound can be taken out, bad boxes are refused."""

from __future__ import annotations

import numpy as np
import pytest

from core.attribute import profile
from core.attribute.audition import Box, audition, box_mask, map_mask, score_of, split
from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.audio import read_recording
from core.dropouts import bridged
from core.errors import InvalidOption
from tests import known_models as known
from tests.factories import sound_bytes, voiced

SOUND = known.with_tone(voiced(2.0, seed=3), 0.8, 1.2)
BOX = Box(0.7, 1.3, 2_500.0, 3_500.0)


@pytest.fixture(scope="module")
def posed():
    return pose(read_recording(sound_bytes(SOUND, subtype="FLOAT"), "v.wav"), known.artefact(3_000.0), Question())


def test_part_and_rest_add_up_to_the_recording():
    part, rest = split(SOUND, box_mask(BOX, 0.0, len(SOUND)))
    assert np.abs(part + rest - SOUND).max() < 1e-6
    everything = split(SOUND, np.ones((257, 201), bool))
    assert np.abs(everything[0] - SOUND).max() < 1e-5 and np.abs(everything[1]).max() < 1e-5
    assert np.abs(split(SOUND, np.zeros((257, 201), bool))[0]).max() == 0.0


def test_the_part_lies_where_the_box_is():
    part, _ = split(SOUND, box_mask(BOX, 0.0, len(SOUND)))
    power = np.square(part).reshape(-1, 1_600).sum(1)
    assert power[8:12].sum() > 0.95 * power.sum()
    peak = np.abs(np.fft.rfft(part)).argmax() / 2.0
    assert peak == pytest.approx(3_000, abs=5)


def test_without_the_planted_artefact_the_score_recovers(posed):
    made = audition(posed, box_mask(BOX, 0.0, len(SOUND)), SOUND)
    clean = score_of(posed, voiced(2.0, seed=3))
    assert made.before == pytest.approx(score_of(posed, SOUND), abs=1e-6)
    assert made.moved > 0.5 * (clean - made.before) > 0 and made.beyond_chance
    quiet = audition(posed, box_mask(Box(0.1, 0.4, 5_000, 6_000), 0.0, len(SOUND)), SOUND)
    assert abs(quiet.moved) < 0.1 * made.moved
    assert audition(posed, box_mask(BOX, 0.0, len(SOUND)), SOUND, whole=-3.0).moved == pytest.approx(made.moved)


def test_the_strongest_cells_can_be_taken_out(posed):
    found = compute(posed, "integrated-gradients", "mean-bonafide")
    cells = profile.top_cells(found, 0.1, -1)
    assert cells.shape == found.values.shape and 0 < cells.mean() <= 0.11
    mask = map_mask(found, cells, 0.0, len(SOUND))
    made = audition(posed, mask, SOUND)
    assert made.moved > 0, "without what points to spoof, the score goes up"


@pytest.mark.parametrize("box", [Box(5, 6, 0, 8_000), Box(1, 1, 0, 8_000), Box(1, 1.5, 9_000, 9_500), Box(1, 2, 40, 45)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(InvalidOption, match="holds nothing"):
        box_mask(box, 0.0, len(SOUND))


def test_profiles_tell_where_the_artefact_is(posed):
    found = compute(posed, "integrated-gradients", "mean-bonafide")
    first = profile.strongest(found)[0]
    assert 0.75 < first.start_s < first.stop_s < 1.25 and first.total < 0
    bands = {name: share for name, share, _ in profile.band_shares(found)}
    assert sum(bands.values()) == pytest.approx(1.0) and max(bands, key=bands.get) == "1–4 kHz"
    assert profile.over_time(found).sum() == pytest.approx(found.values.sum()) == profile.over_frequency(found).sum()
    assert "1–4 kHz" in profile.sentence(found)


@pytest.mark.parametrize("bridges", [True, False])
def test_what_is_explained_is_what_the_detector_hears_of_lost_packets(bridges):
    lost = SOUND.copy()
    lost[16_000:16_320] = 0
    scorer = known.artefact(3_000.0)
    scorer.bridges = bridges
    heard = bridged(lost) if bridges else lost
    put = pose(read_recording(sound_bytes(lost, subtype="FLOAT"), "v.wav"), scorer, Question())
    for each in (put, put.with_sound(lambda i, x: lost[: len(x)])):
        assert np.allclose(each.problems[0].wav[0].numpy(), heard[: each.problems[0].wav.shape[1]], atol=1e-6)
    assert np.abs(bridged(lost) - lost).max() > 0.01
