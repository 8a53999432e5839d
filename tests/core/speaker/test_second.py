"""The second opinion: known answers of cosines, what is too short, and that it has no part in the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidOption, ModelUnavailable
from core.segments import Segment
from core.speaker.enrol import SOUND_S, combine, enrol, refer
from core.speaker.second import load_second, second_opinion
from tests.core.speaker.tiny import tiny_networks
from tests.factories import recording, voiced
from tests.tiny_xvector import make_xvector


@pytest.fixture(scope="module")
def networks():
    return tiny_networks()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_second(make_xvector(tmp_path_factory.mktemp("second") / "tiny"))


def whole(sound) -> tuple[Segment, ...]:
    return (Segment(0.0, len(sound.samples) / 16_000, "all"),)


def test_a_recording_is_like_itself(networks, encoder):
    sound = recording(voiced(4.0, seed=1))
    said = second_opinion(encoder, enrol([sound], networks), sound, whole(sound), ())
    assert said.whole == pytest.approx(1, abs=1e-5) and said.kept == pytest.approx(1, abs=1e-5)
    assert said.rejected is None and said.references is None
    assert said.name == "tiny" and len(said.sha256) == 64


def test_the_order_of_references_does_not_matter_and_the_least_like_is_told(networks, encoder):
    test, sounds = recording(voiced(3.0, seed=2)), [recording(voiced(4.0, seed=s)) for s in (3, 4)]
    one, other = (second_opinion(encoder, enrol(order, networks), test, (), ()) for order in (sounds, sounds[::-1]))
    assert one.whole == pytest.approx(other.whole, abs=1e-5)
    assert one.references == pytest.approx(other.references, abs=1e-5)
    assert one.kept is one.rejected is None and one.references <= 1 + 1e-6


def test_less_than_a_second_is_not_answered(networks, encoder):
    test, who = recording(voiced(3.0, seed=2)), enrol([recording(voiced(4.0, seed=3))], networks)
    said = second_opinion(encoder, who, test, (Segment(0.0, 0.9, "x"),), (Segment(0.9, 3.0, "y"),))
    assert said.kept is None and -1 <= said.rejected <= 1


def test_a_region_is_heard_as_a_region_and_a_minute_at_most_is_kept(networks):
    sound = recording(np.concatenate([voiced(3.0, seed=5), voiced(3.0, seed=6)]))
    part = refer(sound, networks, (16_000, 48_000))
    np.testing.assert_array_equal(part.sound, sound.samples[16_000:48_000])
    assert len(refer(recording(voiced(70.0, seed=7)), networks).sound) == SOUND_S * 16_000


def test_silent_references_are_an_error_with_its_reason(networks, encoder):
    from dataclasses import replace

    silent = replace(refer(recording(voiced(4.0, seed=3)), networks), sound=np.zeros(48_000, np.float32))
    who = combine([silent], networks)
    with pytest.raises(InvalidOption, match="second of sound"):
        second_opinion(encoder, who, recording(voiced(3.0)), (), ())


def test_what_cannot_be_loaded_is_unavailable(tmp_path):
    with pytest.raises(ModelUnavailable, match="give an existing folder"):
        load_second(tmp_path / "nowhere at all")
