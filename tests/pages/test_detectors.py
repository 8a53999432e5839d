"""The page of other detectors: nothing shown before it is verified, raw said to be raw, blind stays blind."""

from __future__ import annotations

import pytest

from core.detectors import clip, loading, store
from core.detectors.calibration import calibrate
from core.detectors.labelled import read_labelled
from core.detectors.standing import all_standing, open_detector
from tests.core.detectors.tiny import labelled_folder, save_tiny

PAGE = "detectors"


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    clip.forget()
    loading.forget_networks()


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """(a checkpoint, a labelled folder)."""
    place = tmp_path_factory.mktemp("material")
    return save_tiny(place / "toy", "wav2vec2"), labelled_folder(place / "clips")


def press(bench, label: str):
    next(b for b in bench.at.button if b.label == label).click().run()
    return bench.settle()


def type_into(bench, label: str, text: str, *, in_form: bool = True):
    """A form hands its fields over with its button only, so nothing is run there."""
    field = next(t for t in bench.at.text_input if t.label.startswith(label)).set_value(text)
    if not in_form:
        field.run()


def test_it_works_without_a_recording_and_says_what_to_do(bench):
    words = bench.go(PAGE).words()
    assert "No recording is open" in words and "pickled weights are refused" in words
    assert [h.value for h in bench.at.header] == ["Bring your own detector"]
    assert not bench.at.get("bidi_component")


def test_from_a_folder_to_a_calibrated_opinion(bench, voice, material):
    folder, clips = material
    bench.upload(("voice.wav", voice)).go(PAGE)
    assert "What each detector says" in bench.words() and "No detector of yours is open yet" in bench.words()
    type_into(bench, "Model folder", str(folder))
    press(bench, "Open")
    words = bench.words()
    assert "Not in use" in "".join(w.value for w in bench.at.warning) and "Still missing on the card" in words
    assert "training exposure" in words and "drafted from its configuration" in words

    press(bench, "Check the polarity")  # on the bundled examples
    assert "too few" in bench.words() and all_standing()[0].refusal

    type_into(bench, "Labelled folder", str(clips), in_form=False)
    press(bench, "Calibrate on these clips")
    bench.settle()
    words = bench.words()
    assert "In use, calibrated" in "".join(s.value for s in bench.at.success)
    assert "Cllr calibrated, cross-validated" in words and "Equal error rate" in words
    assert not all_standing()[0].refusal and not list(folder.glob("calibration*"))

    bench.settle()  # once it is verified it is chosen by itself
    words = bench.words()
    assert "toy" in words and "calibrated detectors" in words and "chart-detectors" not in words
    assert [lane["id"] for lane in bench.player()["lanes"]] == ["score", "detector-0"]
    assert "detectors" in bench.charts()


def test_an_unverified_detector_shows_no_score_even_when_chosen(bench, voice, material):
    open_detector(material[0])
    bench.upload(("voice.wav", voice)).go(PAGE)
    bench.at.multiselect[0].set_value(["toy"]).run()
    bench.settle()
    words = bench.words()
    assert "no score" in words and "run the polarity check first" in words
    assert [lane["id"] for lane in bench.player()["lanes"]] == ["score"]


def test_raw_is_said_to_be_raw(bench, voice, material):
    from core import detectors
    from core.detectors.loading import check

    check(detectors.load(material[0], "cpu"), read_labelled(material[1]))
    bench.upload(("voice.wav", voice)).go(PAGE)
    bench.settle()
    words = bench.words()
    assert "(raw)" in words and "not calibrated" in words and "One other gives a raw score only" in words
    assert "detectors" not in bench.charts(), "raw scores are not drawn on an axis of likelihood ratios"


def test_blind_mode_hides_every_score(bench, voice, material):
    from core import detectors

    calibrate(detectors.load(material[0], "cpu"), read_labelled(material[1]))
    bench.upload(("voice.wav", voice)).settle()
    bench.session.blind = True
    bench.go(PAGE)
    words = bench.words()
    assert "Blind mode" in words and "What each detector says" not in words and not bench.charts()
    assert {lane["id"] for lane in bench.player()["lanes"]} <= {"speech"} and not bench.at.multiselect


def test_where_the_examination_abstains_nobody_gives_a_score(bench, silence, material):
    from core import detectors

    calibrate(detectors.load(material[0], "cpu"), read_labelled(material[1]))
    bench.upload(("silence.wav", silence)).go(PAGE)
    bench.settle()
    assert "their scores are not shown" in bench.words() and "What each detector says" not in bench.words()


@pytest.mark.parametrize(("path", "why"), [("", "whole path"), ("/no/such/place", "whole path"), ("{self}", "AASIST")])
def test_a_wrong_path_is_one_sentence(bench, path, why):
    bench.go(PAGE)
    type_into(bench, "Model folder", __file__ if path == "{self}" else path)
    next(b for b in bench.at.button if b.label == "Open").click().run()
    assert len(bench.at.error) == 1 and why in bench.at.error[0].value


def test_a_card_is_completed_on_screen_and_kept(bench, material):
    open_detector(material[0])
    bench.go(PAGE)
    next(r for r in bench.at.radio if r.label.startswith("Which logit")).set_value(0)
    type_into(bench, "Trained on", "one afternoon")
    press(bench, "Keep this card")
    one = all_standing()[0]
    assert one.terms.exposure == "one afternoon" and one.terms.bona_fide_logit(2) == 0
    assert store.read_card(one.files_sha256).bonafide_index == 0 and not (material[0] / "earwitness.json").exists()


def test_a_detector_whose_files_are_gone_is_said_and_can_be_let_go(bench, tmp_path):
    import shutil

    shutil.rmtree(open_detector(save_tiny(tmp_path / "gone", "hubert")).path)
    bench.go(PAGE)
    assert "can't be used" in bench.at.error[0].value
    press(bench, "Let go of this detector")
    assert "No detector of yours is open yet" in bench.words() and not all_standing()
