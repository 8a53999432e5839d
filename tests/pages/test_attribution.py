"""The attribution page in every state, driven without a browser."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core import jobs
from tests.factories import sound_bytes, voiced

FIGURES = {"audition", "attribution-bands", "removal"}


SHORT_S = 2.6


@pytest.fixture(scope="module")
def short() -> bytes:
    """Just enough speech for a finding."""
    return sound_bytes(voiced(SHORT_S, seed=3))


@pytest.fixture(scope="module")
def panel_folder(tmp_path_factory):
    from tests.core.test_panel_decides import with_panel

    return with_panel(tmp_path_factory.mktemp("models") / "tiny-panel")


@pytest.fixture
def explained(bench, short):
    """A bench with the page open on a short recording, map and audit done."""
    bench.upload(("voice.wav", short)).go("finding")
    return bench.go("attribution").settle().settle()


def box(bench, label):
    return next(b for b in bench.at.selectbox if b.label == label)


def choose(bench, label, value):
    box(bench, label).set_value(value).run()
    return bench.settle().settle()


def verdict(bench) -> str:
    return " ".join(e.value for kind in ("success", "error", "warning") for e in getattr(bench.at, kind))


def test_an_empty_page_says_what_to_do(bench):
    bench.go("attribution")
    assert "No recording is open" in bench.words() and not bench.charts()


def test_the_page_shows_map_verdict_sound_and_tests(explained):
    words = explained.words()
    assert "The map is" in words
    assert "Not reliable here" in verdict(explained) or "passes every test" in verdict(explained)
    assert "Without this part the score moves from" in words and "Sundararajan et al. 2017" in words
    assert explained.words().count("✓ holds") + explained.words().count("✗ missed") >= 6
    charts = explained.charts()
    assert set(charts) >= FIGURES and len(charts) == 4
    assert len(explained.at.get("audio")) == 2
    lanes = {lane["id"]: lane for lane in explained.player()["lanes"]}
    assert set(lanes) == {"attribution", "attribution-map"} and lanes["attribution"]["diverging"]
    labels = [e.label for e in explained.at.expander]
    assert sum("Data behind" in label for label in labels) == 4 == sum("What this means" in label for label in labels)
    for name, figure in charts.items():
        axes = [a for k, a in figure["layout"].items() if k[1:5] == "axis"]
        assert any(a.get("title", {}).get("text") for a in axes), name
    _nothing_is_computed_again(explained)
    _both_ways_are_told_without_colour(explained)


def _both_ways_are_told_without_colour(explained):
    figure = next(f for name, f in explained.charts().items() if name not in FIGURES)
    symbols = {t["marker"]["symbol"] for t in figure["data"] if t["type"] == "scatter"}
    assert symbols == {"triangle-up", "triangle-down"} and figure["layout"]["dragmode"] == "select"
    assert explained.session.current[:12] in json.dumps(figure["layout"]["annotations"])
    next(r for r in explained.at.radio if r.label == "Shown").set_value("unsigned").run()
    figure = next(f for name, f in explained.charts().items() if name not in FIGURES)
    assert not [t for t in figure["data"] if t["type"] == "scatter"]


def _nothing_is_computed_again(explained):
    before = {key: job for key, job in jobs._process._jobs.items() if key[0] in ("attribution", "audit", "audition")}
    explained.go("finding").go("attribution").settle()
    after = {key: job for key, job in jobs._process._jobs.items() if key[0] in ("attribution", "audit", "audition")}
    assert before == after and len(before) == 3
    digest = explained.session.current
    assert all(digest in key for key in before), "a result is found by the recording's content"


def test_a_method_has_its_words_and_says_where_it_does_not_fit(explained):
    for method, paper in (("occlusion", "1311.2901"), ("grad-cam", "1610.02391")):
        choose(explained, "Method", method)
        assert paper in explained.words() and not explained.at.exception
        assert any(name.startswith("attribution-") and name != "attribution-bands" for name in explained.charts())


    choose(explained, "Method", "occlusion")
    choose(explained, "Laid on", "waveform")
    assert "Occlusion covers patches" in verdict(explained) and explained.player()["n"] == 41_600
    choose(explained, "Method", "integrated-gradients")
    assert "Without this part" in explained.words()


def test_one_click_shows_a_map_that_passes_and_one_that_fails(explained):
    def shown() -> tuple[str, str]:
        return box(explained, "Laid on").value, box(explained, "Compared with").value

    for words, settings in (("Show a map that fails", ("waveform", "silence")),
                            ("Show a map that usually passes", ("log-mel", "mean-bonafide"))):
        next(b for b in explained.at.button if b.label == words).click().run()
        explained.settle().settle()
        assert shown() == settings and verdict(explained)


def test_a_region_alone_and_a_moment_use_the_selection(explained):
    radio = next(r for r in explained.at.radio if r.label == "What is explained")
    radio.set_value("region").run()
    explained.settle()
    assert "Select a region in the player first" in verdict(explained) or "Select a region" in explained.words()
    explained.session.recording.selection = (16_000, 32_000)
    explained.at.run()
    explained.settle().settle()
    assert "from 1.00 to 2.00 s" in explained.words() and "The marked stretch" in explained.words()
    explained.session.recording.selection = (16_000, 17_000)
    explained.at.run()
    explained.settle()
    assert "at least 0.5 s are needed" in verdict(explained)
    next(r for r in explained.at.radio if r.label == "What is explained").set_value("moment").run()
    explained.settle().settle()
    assert "uncalibrated" in explained.words()


def test_a_box_drawn_on_the_map_is_played_and_taken_out(explained, monkeypatch):
    from pages.parts import attribution_panels as panels

    drawn = {"selection": {"box": [{"x": [1.0, 2.0], "y": [3.5, 12.5]}]}}
    real = panels._box
    monkeypatch.setattr(panels, "_box", lambda event, edges: real(drawn, edges))
    explained.at.run()
    explained.settle()
    words = explained.words()
    assert "**The box:** 1.00–2.00 s" in words and "Without this part the score moves" in words
    parts = [key[-1] for key in jobs._process._jobs if key[0] == "audition"]
    assert any(getattr(part, "start_s", None) == 1.0 for part in parts)


def test_what_gives_the_finding_is_explained_first(bench, short, panel_folder, monkeypatch):
    """With a panel, the map is of the panel's score, on levels; the score before is the finding's own."""
    import models.registry
    from core.attribute.panel_scorer import PanelScorer
    from core.audit import verdict as audits
    from core.errors import InvalidOption

    def untested(*_, **__):
        raise InvalidOption("Not in this test.")

    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(panel_folder))
    monkeypatch.setattr(PanelScorer, "effort", {"gradient-shap": {"samples": 2}})
    monkeypatch.setattr(audits, "audit", untested)  # the network among the members would make it long
    bench.upload(("voice.wav", short)).go("finding")
    bench.go("attribution").settle().settle()
    assert box(bench, "Detector").value == "panel" and box(bench, "Laid on").value == "levels"
    assert box(bench, "Detector").options[0] == "panel, which gives the finding"
    assert box(bench, "Method").value == "gradient-shap"
    assert "This map wasn't tested. Not in this test." in verdict(bench)
    found = next(job.result for key, job in jobs._process._jobs.items() if key[0] == "audition")
    line = next(job.result for key, job in jobs._process._jobs.items() if key[0] == "explained detector").calibration
    examined = next(job.result for job in jobs._process._jobs.values() if hasattr(job.result, "finding"))
    assert found.before == pytest.approx(line.slope * examined.finding.score + line.intercept, abs=1e-6)
    choose(bench, "Detector", str(panel_folder))
    assert box(bench, "Laid on").value == "log-mel" and box(bench, "Method").value == "integrated-gradients"
    assert "Without this part the score moves from" in bench.words()


def test_an_abstained_examination_has_no_map(bench, silence):
    bench.upload(("silence.wav", silence)).go("finding")
    bench.go("attribution")
    assert "abstained" in bench.words() and not bench.charts()


def test_blind_mode_hides_the_map(explained):
    explained.session.blind = True
    explained.go("attribution")
    assert not explained.charts() and "Listen first" in explained.words()


def test_silence_in_a_region_is_said(bench):
    sound = voiced(8.0, seed=3)
    sound[64_000:112_000] = 0.0
    bench.upload(("half.wav", sound_bytes(sound))).go("finding")
    bench.go("attribution").settle()
    bench.session.recording.selection = (70_000, 100_000)
    next(r for r in bench.at.radio if r.label == "What is explained").set_value("region").run()
    bench.settle()
    assert "nothing but silence" in verdict(bench)
    assert np.isfinite(bench.player()["n"])
