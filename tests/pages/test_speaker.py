"""The speaker page in every state, driven without a browser, with tiny random networks that know nothing about voices."""

from __future__ import annotations

import json

import numpy as np
import pytest

import core.speaker
from core import jobs
from core.errors import ModelUnavailable
from tests.core.speaker.tiny import tiny_networks
from tests.factories import sound_bytes, voiced


@pytest.fixture(scope="module")
def networks():
    return tiny_networks()


@pytest.fixture(autouse=True)
def shipped(networks, monkeypatch):
    monkeypatch.setattr(core.speaker, "shipped", lambda device="auto": networks)


@pytest.fixture(scope="module")
def sounds() -> dict[str, bytes]:
    """A recording of two pitches and a reference."""
    two = np.concatenate([voiced(4.0, seed=3), voiced(4.0, seed=4, pitch_hz=210)])
    return {"two.wav": sound_bytes(two), "reference.wav": sound_bytes(voiced(6.0, seed=5))}


@pytest.fixture
def open_page(bench, sounds):
    return bench.upload(("two.wav", sounds["two.wav"])).go("speaker")


@pytest.fixture
def enrolled(open_page, sounds):
    """The page with a verdict on it."""
    open_page.at.file_uploader(key="enrol-files").set_value(
        [("reference.wav", sounds["reference.wav"], "audio/wav")]).run()
    return open_page.settle().settle()


def button(bench, label):
    return next(b for b in bench.at.button if b.label == label)


def lanes(bench) -> dict[str, dict]:
    return {lane["id"]: lane for lane in bench.player()["lanes"]}


def test_without_networks_the_page_says_so_and_plays(bench, sounds, monkeypatch):
    def missing(device="auto"):
        raise ModelUnavailable("Speakers can't be compared here: nothing is installed.")

    monkeypatch.setattr(core.speaker, "shipped", missing)
    bench.upload(("two.wav", sounds["two.wav"])).go("speaker")
    assert "nothing is installed" in bench.at.error[0].value and bench.player()["n"] == 128_000


def test_before_enrolment_the_page_says_what_to_do(open_page):
    assert "Enrol the voice in question" in open_page.words() and not open_page.charts()


def test_a_verdict_with_everything_around_it(enrolled):
    words = enrolled.words()
    assert "The kept speech is" in words or "No verdict" in words
    for section in ("The verdict as a function of the threshold", "Contested frames", "Kept and rejected",
                    "Examine only this speaker", "More than one voice", "How often this is wrong"):
        assert section in words
    assert {"gamma", "kept", "beta", "energy", "influence"} <= set(lanes(enrolled))
    assert "verdict-curve" in enrolled.charts()
    assert "isn't installed" in words or "silero" in lanes(enrolled), "an absent detector is said plainly"
    labels = [d.proto.label for d in enrolled.at.get("download_button")]
    assert "Download the verification (JSON)" in labels and "RTTM" in labels
    assert any(label.startswith("Download the kept sound") for label in labels)


def test_moving_the_threshold_runs_no_network(enrolled, monkeypatch):
    from core.speaker import listen

    monkeypatch.setattr(listen, "_run", lambda *a: pytest.fail("a network ran"))
    before = set(jobs._process._jobs)
    enrolled.at.slider(key="speaker-threshold").set_value(0.0).run()
    assert "100% kept at 0.00" in lanes(enrolled)["kept"]["note"] and not enrolled.at.exception
    enrolled.at.slider(key="speaker-threshold").set_value(1.0).run()
    assert "too-little-kept" in enrolled.words() and set(jobs._process._jobs) == before


def test_examining_only_this_speaker_stands_beside_the_whole(enrolled):
    enrolled.at.slider(key="speaker-threshold").set_value(0.0).run()
    button(enrolled, "Examine only this speaker").click().run()
    enrolled.settle().settle()
    words = enrolled.words()
    assert "this speaker only (threshold 0.00)" in words and "Heard alone, the log10 LR moves by" in words
    assert "only" in enrolled.charts()


def test_a_region_of_the_recording_gives_no_likelihood_ratio(open_page):
    open_page.session.recording.selection = (0, 48_000)
    open_page.at.segmented_control(key="enrol-from").set_value("the selected region").run()
    button(open_page, "Enrol 0:00.000 to 0:03.000").click().run()
    open_page.settle().settle()
    words = open_page.words()
    assert "enrolled-from-here" in words and "0:00.000 to 0:03.000" in words
    assert "<b>▲ log10 LR" not in words and "gamma" in lanes(open_page)


def test_the_same_bytes_and_a_short_reference_are_refused_a_verdict(open_page, sounds):
    files = [("copy.wav", sounds["two.wav"], "audio/wav")]
    open_page.at.file_uploader(key="enrol-files").set_value(files).run()
    assert "same-recording" in open_page.settle().settle().words()
    button(open_page, "Remove").click().run()
    assert "Enrol the voice in question" in open_page.words()
    files = [("short.wav", sound_bytes(voiced(1.0, seed=6)), "audio/wav")]
    open_page.at.file_uploader(key="enrol-files").set_value(files).run()
    assert "enrolment-too-short" in open_page.settle().settle().words()


def test_a_reference_that_is_no_sound_is_one_sentence(open_page):
    open_page.at.file_uploader(key="enrol-files").set_value([("words.wav", b"no sound", "audio/wav")]).run()
    open_page.settle().settle()
    assert len(open_page.at.error) == 1 and "words.wav" in open_page.at.error[0].value
    button(open_page, "Dismiss").click().run()
    assert not open_page.at.error


def test_an_example_and_an_open_recording_can_be_enrolled(bench, sounds):
    bench.upload(("reference.wav", sounds["reference.wav"]), ("two.wav", sounds["two.wav"])).go("speaker")
    bench.at.segmented_control(key="enrol-from").set_value("an open recording").run()
    bench.at.button(key="enrol-open-button").click().run()
    bench.at.segmented_control(key="enrol-from").set_value("a bundled example").run()
    bench.at.button(key="enrol-example-button").click().run()
    bench.settle().settle()
    assert sum(b.label == "Remove" for b in bench.at.button) == 2 and "real-woman.flac" in bench.words()


def test_teaching_needs_no_recording_and_shows_the_truth(bench):
    bench.go("speaker")
    bench.at.toggle(key="speaker-teaching").set_value(True).run()
    bench.settle().settle()
    words = bench.words()
    assert "frames and rejects" in words and "which aren't in the mixture" in words
    assert {"truth", "truth-other", "gamma"} <= set(lanes(bench))
    bench.at.slider(key="lesson-share").set_value(0).run()
    bench.settle().settle()
    assert "rejects – of the other's" in bench.words()


def test_blind_mode_hides_the_verdict(enrolled):
    enrolled.session.blind = True
    enrolled.go("speaker")
    assert "Listen first" in enrolled.words() and not enrolled.charts()


def test_error_curves_come_from_the_card(open_page, networks, monkeypatch):
    curves = {str(s): {m: [0.1 + s / 4, 0.05, 0.4] for m in ("raw", "energy", "svvad")} for s in (0.0, 0.4, 0.8)}
    monkeypatch.setitem(networks.cards, "svvad-tiny", {"curves": curves})
    open_page.go("speaker")
    figure = open_page.charts()["share-curves"]
    assert len(figure["data"]) == 3 and "svvad-tiny" in json.dumps(figure["layout"]["annotations"])


# ---- a second opinion ----------------------------------------------------------------------------------------


def test_another_encoder_is_asked_and_answers_beside_ours(enrolled, tmp_path):
    from tests.tiny_xvector import make_xvector

    folder = make_xvector(tmp_path / "their-encoder")
    enrolled.at.text_input(key="second-name").set_value(str(folder)).run()
    button(enrolled, "Ask").click().run()
    words = enrolled.settle().words()
    assert "cosine of their-encoder" in words and "uncalibrated" in words and not enrolled.at.exception
    assert any(f"--also {folder}" in code.value for code in enrolled.at.code)


def test_moving_the_threshold_does_not_ask_another_encoder_anew(enrolled, tmp_path, monkeypatch):
    from core.speaker import second
    from tests.tiny_xvector import make_xvector

    calls, real = [], second.second_opinion
    monkeypatch.setattr(second, "second_opinion", lambda *given: calls.append(1) or real(*given))
    enrolled.at.text_input(key="second-name").set_value(str(make_xvector(tmp_path / "theirs"))).run()
    button(enrolled, "Ask").click().run()
    enrolled.settle()
    enrolled.at.slider[0].set_value(0.8).run()
    words = enrolled.settle().words()
    assert len(calls) == 1 and "cosine of theirs" in words
    assert any("Asked at the threshold 0.50" in x.value for x in enrolled.at.info)
    assert not any("--also" in code.value for code in enrolled.at.code)


def test_an_encoder_that_is_not_there_is_told_in_one_sentence(enrolled, tmp_path):
    enrolled.at.text_input(key="second-name").set_value(str(tmp_path / "no such folder")).run()
    button(enrolled, "Ask").click().run()
    enrolled.settle()
    assert any("give an existing folder" in e.value for e in enrolled.at.error) and not enrolled.at.exception
