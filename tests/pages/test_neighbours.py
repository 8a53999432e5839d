"""The Neighbours and Map pages without a browser, on a small library for a tiny random detector."""

from __future__ import annotations

import json

import numpy as np
import pytest

import core.library
from core import project
from core.detectors import rad
from core.library import Library
from core.project import MAP_FILE, Map, principal_axes, save_map
from models.registry import load_detector
from tests.factories import sound_bytes, voiced
from tests.tiny_library import fill, make_clips, make_rad


@pytest.fixture(scope="module")
def known(tmp_path_factory, detector_folder):
    """A library of twelve clips that play, with a map made of two axes, and a RAD folder."""
    root = tmp_path_factory.mktemp("known")
    fill(root / "library", make_clips(root / "clips"), load_detector(detector_folder))
    library = Library(root / "library")
    x = library.segments.vectors
    centre, axes = (np.stack(part) for part in zip(*(principal_axes(v)[:2] for v in x.transpose(1, 0, 2)), strict=True))
    quality = {"trustworthiness": 0.9, "neighbours_preserved": 0.5}
    about = {"snapshot": library.snapshot.id, "umap_learn": "none", "seed": 0, "parameters": {},
             "layers": [quality | {"pca": quality, "pca_variance_share": 0.2}] * x.shape[1]}  # fmt: skip
    umap = x[:, :, :2].transpose(1, 0, 2)
    save_map(Map(umap, umap, axes, centre, np.full(umap.shape[:2], 0.5), about), root / "library" / MAP_FILE)
    make_rad(root / "rad", library.geometry)
    return library, root


@pytest.fixture(autouse=True)
def in_use(known, monkeypatch):
    monkeypatch.setattr(core.library, "DEFAULT", known[0].folder)
    monkeypatch.setattr(rad, "FOLDER", known[1] / "rad")
    monkeypatch.setattr(project, "NEIGHBOURS", 5)


def _asked(bench):
    return bench.at.session_state["earwitness-library"].asked[bench.session.current]


def _button(bench, label: str):
    return next(b for b in bench.at.button if b.label == label)


@pytest.mark.parametrize("page", ["neighbours", "map"])
def test_an_empty_page_says_what_to_do(bench, page):
    bench.go(page)
    assert "No recording is open" in bench.words()


def test_the_page_answers_shows_and_explains(bench, voice, known):
    words = bench.upload(("voice.wav", voice)).go("neighbours").words()
    assert "Nearest of all:" in words and known[0].snapshot.id[:12] in words and "Resemblance is not origin" in words
    assert set(bench.charts()) >= {"influence", "recall"}
    matrix = next(f for name, f in bench.charts().items() if name.startswith("matrix"))
    assert sum(len(t["x"]) for t in matrix["data"]) == 10 * known[0].geometry.n_layers
    assert {t["marker"]["symbol"] for t in matrix["data"]} == {"circle", "diamond"}, "shape says the kind a second time"
    for section in ("Scores that retrieve", "own references", "which known system?", "How often this is wrong"):
        assert section in words
    assert "What this means" in " ".join(e.label for e in bench.at.expander)
    download = bench.at.get("download_button")[-1]
    assert download.proto.ignore_rerun


def test_a_reference_plays_in_the_same_place(bench, voice):
    bench.upload(("voice.wav", voice)).go("neighbours")
    assert bench.player()["id"] == bench.session.current
    _button(bench, "Play beside").click().run()
    now = _asked(bench)
    assert bench.player()["id"] == now.chosen != bench.session.current
    words = bench.settle().words()
    assert "Playing" in words and {"spectra", "spectrogram-difference"} <= set(bench.charts())
    now.playing = "questioned"
    bench.at.run()
    assert bench.player()["id"] == bench.session.current


def test_taking_a_neighbour_out_changes_list_and_scores_and_can_be_undone(bench, voice):
    bench.upload(("voice.wav", voice)).go("neighbours")
    assert "score with your changes" not in bench.words()
    _button(bench, "Take out").click().run()
    words = bench.words()
    assert "Taken out by you" in words and "score with your changes" in words and len(_asked(bench).without) == 1
    _button(bench, "Put all back").click().run()
    assert "Taken out by you" not in bench.words() and not _asked(bench).without


def test_the_cases_own_references_show_before_and_after(bench, voice):
    bench.upload(("voice.wav", voice)).go("neighbours")
    bench.at.text_input(key="reference-speaker").set_value("Claimed")
    files = [(f"verified{i}.wav", sound_bytes(voiced(3.0, seed=3 + i)), "audio/wav") for i in range(2)]
    bench.at.file_uploader(key="reference-files").set_value([*files, ("words.wav", b"no sound", "audio/wav")]).run()
    words = bench.settle().words()
    assert "verified0.wav" in words and "Claimed" in words and "score with your changes" in words
    assert len(bench.at.session_state["earwitness-library"].references) == 2
    assert any("words.wav" in e.value for e in bench.at.error)
    assert len(bench.at.error) == 1


def test_filters_act_and_an_empty_filter_is_explained(bench, voice):
    bench.upload(("voice.wav", voice)).go("neighbours")
    digest = bench.session.current[:12]
    bench.at.multiselect(key=f"filter-label-{digest}").set_value(["spoof"]).run()
    matrix = next(f for name, f in bench.charts().items() if name.startswith("matrix"))
    assert not next(len(t["x"]) for t in matrix["data"])
    assert "no reference of a needed kind is left" in bench.words()


def test_silence_has_neighbours_but_no_score(bench, silence):
    words = bench.upload(("silence.wav", silence)).go("neighbours").words()
    assert "No score:" in words and "log10 LR and interval" not in words


@pytest.mark.parametrize("page", ["neighbours", "map"])
def test_blind_mode_hides_what_is_known(bench, voice, page):
    bench.upload(("voice.wav", voice)).go(page)
    bench.at.sidebar.toggle[0].set_value(True).run()
    words = bench.go(page).words()
    assert "Nearest of all" not in words and not bench.charts() and bench.player()["report_heard"] is True


def test_a_library_that_does_not_fit_is_one_sentence(bench, voice, monkeypatch, tmp_path):
    monkeypatch.setattr(core.library, "DEFAULT", tmp_path / "nowhere")
    bench.upload(("voice.wav", voice)).go("neighbours")
    assert len(bench.at.error) == 1 and "no library" in bench.at.error[0].value and bench.player()["n"] == 96_000


def test_another_library_can_be_used_and_left(bench, voice, known, monkeypatch, tmp_path):
    monkeypatch.setattr(core.library, "DEFAULT", tmp_path / "nowhere")
    bench.upload(("voice.wav", voice)).go("neighbours")
    bench.at.text_input(key="library-folder").set_value(str(known[0].folder)).run()
    assert known[0].snapshot.id[:12] in bench.settle().words() and not bench.at.error
    bench.go("map")
    assert "2 windows placed" in bench.words() and any(b.label == "Fit" for b in bench.at.button)
    bench.at.text_input(key="library-folder").set_value("").run()
    assert len(bench.at.error) == 1


def test_without_rad_the_neighbours_still_come(bench, voice, monkeypatch, tmp_path):
    monkeypatch.setattr(rad, "FOLDER", tmp_path)
    words = bench.upload(("voice.wav", voice)).go("neighbours").words()
    assert "Nearest of all" in words and "isn't installed" in words


def test_the_map_places_the_recording_with_its_trust(bench, voice, known):
    words = bench.upload(("voice.wav", voice)).go("map").words()
    assert "2 windows placed" in words and "trustworthiness 0.90" in words
    figure = next(iter(bench.charts().values()))
    path = figure["data"][-1]
    assert path["name"] == "this recording" and path["text"] == ["1", "2"]
    assert "scattergl" not in json.dumps([t["type"] for t in figure["data"]]), "drawn without a graphics card"
    drawn = sum(len(t["customdata"]) for t in figure["data"] if t.get("customdata") and t["name"] != "this recording")
    assert drawn == len(known[0].segments)
    assert "mean nothing" in words


def test_the_map_can_be_linear_and_coloured_otherwise(bench, voice):
    bench.upload(("voice.wav", voice)).go("map")
    digest = bench.session.current[:12]
    bench.at.segmented_control(key=f"map-kind-{digest}").set_value("pca").run()
    bench.at.selectbox(key=f"map-colour-{digest}").set_value("system").run()
    figure = next(iter(bench.charts().values()))
    assert figure["layout"]["xaxis"]["title"]["text"] == "principal axis 1"
    assert {"system0", "system1", "everything else"} <= {t["name"] for t in figure["data"]}
    assert "linear view" in bench.words()


def test_a_library_without_a_map_offers_to_fit_one(bench, voice, known):
    path = known[0].folder / MAP_FILE
    kept = path.read_bytes()
    path.unlink()
    try:
        bench.upload(("voice.wav", voice)).go("map")
        assert "no map yet" in bench.at.error[0].value
    finally:
        path.write_bytes(kept)
