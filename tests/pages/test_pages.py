"""Every page in every state: empty, waiting, result, abstained, error, blind; and what must never be computed
twice.
"""

from __future__ import annotations

import re

import pytest

import models.registry
from tests.core.test_panel_decides import with_panel

PAGES = ("intake", "finding", "frame_entropy")
SCORE_WORDS = ("log10 LR =", "ew-spoof", "ew-bonafide", "bits per frame on average")


def _no_score(bench) -> None:
    words = bench.words()
    assert not [w for w in SCORE_WORDS if w in words]
    assert not bench.charts()
    assert {lane["id"] for lane in bench.player()["lanes"]} <= {"speech"}
    assert not bench.player()["spans"]


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_page_says_what_to_do(bench, page):
    bench.go(page)
    assert len(bench.at.info) == 1 and ("example" in bench.at.info[0].value)
    assert not bench.at.get("bidi_component") and "No recording is open" in bench.words()


def test_intake_establishes_identity_before_anything_else(bench, voice):
    import hashlib

    bench.upload(("voice.wav", voice)).settle()
    words, digest = bench.words(), hashlib.sha256(voice).hexdigest()
    assert digest in words and digest[:12] in words
    for fact in ("WAV", "16000 Hz", "libsndfile", "0:06.000", "96000 samples"):
        assert fact in words
    assert "✓ passes" in words and "−" in words
    data = bench.player()
    assert data["id"] == digest and data["n"] == 96_000
    assert [lane["kind"] for lane in data["lanes"]] == ["steps"]


def test_a_bad_file_gets_its_sentence_and_the_others_open(bench, voice):
    bench.upload(
        ("first.wav", voice), ("notes.wav", b"these are words, not sound"), ("empty.wav", b"")
    ).settle()
    assert len(bench.at.error) == 2
    assert all("Traceback" not in e.value and e.value.count(". ") <= 1 for e in bench.at.error)
    assert "notes" in bench.at.error[0].value and "empty" in bench.at.error[1].value
    assert [o.name for o in bench.session.opened.values()] == ["first.wav"]
    dismiss = next(b for b in bench.at.button if b.label == "Dismiss")
    dismiss.click().run()
    assert len(bench.at.error) == 1


def test_a_name_cannot_act_on_the_page(bench, voice):
    bench.upload(("<img src=x onerror=alert(1)>**b**.wav", voice)).settle()
    words = bench.words()
    assert "img src=x" in words and not re.search(r"(?<!\\)<img", words)


def test_finding_says_the_sentence_first_then_shows_and_explains(bench, voice):
    bench.upload(("voice.wav", voice)).go("finding")
    words = bench.words()
    assert re.search(r'role="status"><p>The examined speech is .* probable', words)
    assert (
        re.search(r"[◆●■] log10 LR = −?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", words) and "ENFSI 2015" in words
    )
    assert {lane["id"] for lane in bench.player()["lanes"]} == {"score"}
    assert bench.player()["lanes"][0]["diverging"] is True
    assert "python -m core examine voice.wav" in words
    assert "numerator" in words and "denominator" in words
    assert "More than one voice" in words, "every check is listed, passed or not"
    for section in (
        "Each detector",
        "How often it is wrong",
        "Checks",
        "Propositions",
        "The same number again",
    ):
        assert section in words


def test_finding_figure_shows_number_interval_bounds_and_bands(bench, voice):
    bench.upload(("voice.wav", voice)).go("finding")
    finding = _examination(bench).finding
    figure = bench.charts()["lr-axis"]
    dot = next(t for t in figure["data"] if t["type"] == "scatter")
    assert dot["x"] == [finding.llr_log10]
    assert dot["error_x"]["array"][0] == pytest.approx(
        finding.llr_high - finding.llr_low - dot["error_x"]["arrayminus"][0]
    )
    assert "log10 LR" in figure["layout"]["xaxis"]["title"]["text"]
    words = " ".join(a["text"] for a in figure["layout"]["annotations"])
    assert "bound −2.00" in words and "bound 2.00" in words and "moderate" in words
    assert "supports bona fide" in words and "supports synthesis" in words
    assert bench.session.current[:12] in words, "the figure names the file it is about"
    assert any(t["type"] == "bar" and t["marker"]["pattern"]["shape"] == "/" for t in figure["data"])


def test_downloads_are_bytes_that_need_no_rerun(bench, voice):
    import json

    bench.upload(("voice.wav", voice)).go("finding")
    for element in bench.at.get("download_button"):
        assert element.proto.ignore_rerun
    assert json.dumps(_examination(bench).to_dict(), allow_nan=False)


def test_an_abstention_gives_its_reason_and_no_score_anywhere(bench, silence):
    bench.upload(("silence.wav", silence)).go("finding")
    words = bench.words()
    assert "No finding: " in words and "silence</span>" in words
    _no_score(bench)
    bench.go("frame_entropy")
    assert "abstained" in bench.words()
    _no_score(bench)
    bench.go("intake")
    assert "✗ fails" in bench.words() and "No finding</b>" in bench.words()


def test_entropy_page_has_every_panel(bench, voice):
    bench.upload(("voice.wav", voice)).go("frame_entropy")
    charts, words = bench.charts(), bench.words()
    assert set(charts) == {
        "entropy",
        "mel",
        "posterior",
        "rate-distortion",
        "entropy-histogram",
        "layer-weights",
    }
    assert "statistic of the detector's learned posterior, not the physical entropy" in words
    lanes = {lane["id"]: lane for lane in bench.player()["lanes"]}
    assert set(lanes) == {"entropy", "map"} and lanes["map"]["rows"] == 8
    assert lanes["entropy"]["band"] == [15.5, 17.2]
    assert bench.player()["spans"], "low-entropy stretches are marked"
    assert charts["entropy"]["layout"]["yaxis"]["title"]["text"] == "entropy, bits per frame"
    assert charts["rate-distortion"]["layout"]["xaxis"]["title"]["text"] == "rate, KL nats per frame"
    assert "arXiv 2504.10819" in words


def test_every_figure_has_units_and_text_beside_it(bench, voice):
    bench.upload(("voice.wav", voice)).go("frame_entropy")
    labels = [e.label for e in bench.at.expander]
    assert sum("What this means" in label for label in labels) >= 6
    assert sum("Data behind" in label for label in labels) >= 5
    for name, figure in bench.charts().items():
        titles = [
            axis["title"]["text"]
            for key, axis in figure["layout"].items()
            if re.fullmatch(r"[xy]axis\d*", key) and axis.get("title", {}).get("text")
        ]
        assert len(titles) >= 2, name


def test_adapters_are_encoded_off_on_demand_only(bench, voice):
    bench.upload(("voice.wav", voice)).go("frame_entropy")
    assert "adapters" not in bench.charts()
    next(b for b in bench.at.button if b.label == "Encode without the adapters").click().run()
    bench.settle()
    figure = bench.charts()["adapters"]
    assert {t["name"] for t in figure["data"]} == {"adapters on", "adapters off", "on − off"}


def test_the_selected_region_is_what_is_computed(bench, voice):
    bench.upload(("voice.wav", voice)).go("frame_entropy")
    opened = bench.session.recording
    opened.selection, opened.clicked = (32_000, 48_000), 40_000
    bench.at.run()
    assert "Region 0:02.000 – 0:03.000, as selected" in bench.words()
    assert "One frame: 0:02.500" in bench.words() and "Frame 125" in bench.words()
    data = next(t for t in bench.charts()["mel"]["data"] if t["type"] == "heatmap")
    assert (
        data["z"]["shape"].split(",")[1].strip() == "50"
        if isinstance(data["z"], dict)
        else len(data["z"][0]) == 50
    )


def test_a_missing_detector_is_one_sentence_and_the_recording_stays(
    bench, voice, monkeypatch, tmp_path, detector_folder
):
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(tmp_path / "nowhere"))
    bench.upload(("voice.wav", voice)).go("finding")
    assert len(bench.at.error) == 1 and "nowhere" in bench.at.error[0].value
    assert bench.player()["n"] == 96_000
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(detector_folder))
    next(b for b in bench.at.button if b.label == "Examine again").click().run()
    bench.settle()
    assert "log10 LR =" in bench.words()


def test_blind_mode_hides_every_score_until_heard_and_written(bench, voice):
    bench.upload(("voice.wav", voice)).go("finding")
    assert "log10 LR =" in bench.words()
    bench.at.sidebar.toggle[0].set_value(True).run()
    for page in ("finding", "frame_entropy"):
        bench.go(page)
        _no_score(bench)
        assert bench.player()["report_heard"] is True
    bench.go("intake")
    assert "log10 LR" not in bench.words()
    bench.go("finding")
    _write_opinion(bench)
    assert _show_button(bench).disabled, "nothing was heard yet"
    bench.session.recording.heard_s = 6.0
    _write_opinion(bench)
    _show_button(bench).click().run()
    words = bench.words()
    assert "log10 LR =" in words and "partly synthetic" in words and "the breath sounds cut" in words


def _write_opinion(bench) -> None:
    bench.at.radio[0].set_value("partly synthetic")
    bench.at.text_area[0].set_value("the breath sounds cut").run()


def _show_button(bench):
    return next(b for b in bench.at.button if b.label.startswith("Record my opinion"))


def test_examples_open_with_one_click(bench):
    from pages.parts import cache

    if not cache.examples():
        pytest.skip("no bundled examples here")
    bench.go("intake")
    opens = [b for b in bench.at.button if b.label == "Open"]
    assert len(opens) == len(cache.examples())
    opens[0].click().run()
    bench.settle()
    assert cache.examples()[0]["what_to_notice"][:20] in bench.words()
    assert cache.examples()[0]["licence"] in bench.words()
    assert bench.player()["n"] > 8_000


def test_a_live_recording_is_taken_in(bench, voice):
    bench.go("intake")
    bench.at.get("audio_input")[0].set_value(("audio.wav", voice, "audio/wav")).run()
    bench.settle()
    assert [o.name for o in bench.session.opened.values()] == ["live recording.wav"]


def _examination(bench):
    from pages.parts import cache

    return cache.examining(bench.session.current).result


def test_the_sidebar_names_what_decides(bench, voice, monkeypatch, tmp_path):
    assert "The embedded default gives the finding" in bench.words()
    bench.upload(("voice.wav", voice)).settle()
    assert "Finding by tiny · cpu" in bench.words()
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(with_panel(tmp_path / "panelled")))
    bench.upload(("other.wav", voice[:-2_000])).settle()
    assert "Finding by panel of 7 views · cpu" in bench.words()
