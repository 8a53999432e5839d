"""RAD and the nearest-neighbour score as detectors: adding references, taking out, refusing, differentiating."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from core.detectors import rad
from core.errors import ModelUnavailable
from core.library import Library, LibraryError
from core.library.compare import View, compare, encoded, measure, reference
from core.library.explain import attention_by_clip, band_levels, influences, long_term, score
from models.registry import load_detector
from tests.factories import noise, recording, tone, voiced
from tests.tiny_detector import make_detector
from tests.tiny_library import fill, make_clips, make_rad


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("rad")
    encoder = load_detector(make_detector(root / "tiny"), "cpu")
    fill(root / "library", make_clips(root / "clips"), encoder)
    library = Library(root / "library")
    return encoder, library, make_rad(root / "rad", library.geometry)


@pytest.fixture(scope="module")
def both(place):
    encoder, library, folder = place
    return {name: rad.retrieval_detector(name, encoder, library, folder) for name in (rad.RAD_NAME, rad.KNN_NAME)}


@pytest.fixture(scope="module")
def query(place):
    encoder, library, _ = place
    return measure(encoded(recording(voiced(6.0, seed=70, pitch_hz=140)), encoder), library, encoder)


@pytest.mark.parametrize("name", [rad.RAD_NAME, rad.KNN_NAME])
def test_an_opinion_is_calibrated_and_quotes_the_library(both, place, name):
    found = both[name].opinion(recording(voiced(6.0, seed=70)))
    assert (
        found.llr is not None
        and found.bounds == (-2.0, 2.0)
        and found.score == pytest.approx(np.average(found.window_scores, weights=[w.n_samples for w in found.windows]))
    )
    assert place[1].snapshot.id[:12] in found.notes[-1] and len(found.windows) == 2


@pytest.mark.parametrize("name", [rad.RAD_NAME, rad.KNN_NAME])
def test_what_fails_a_fatal_check_gets_no_score(both, name):
    found = both[name].opinion(recording(tone(seconds=3.0)))
    assert found.score is None and found.llr is None and found.notes[0].startswith("No score: ")


def test_ten_verified_recordings_change_neighbours_and_scores_traceably(both, place, query):
    """The issue's sixth point: what a case adds is seen in the neighbours, in the score and in the provenance."""
    encoder, library, _ = place
    case = tuple(
        reference(recording(voiced(3.0, seed=300 + i, pitch_hz=140)), "bonafide", library, encoder, speaker="Claimed")
        for i in range(10)
    )
    plain, added = View(library), View(library, references=case)
    before, after = compare(query, plain), compare(query, added)
    assert not any(n.clip.speaker == "Claimed" for layer in before.layers for n in layer)
    assert any(n.clip.speaker == "Claimed" for layer in after.layers for n in layer)
    for detector in both.values():
        assert detector.score_view(query, added).score != detector.score_view(query, plain).score
        assert detector.score_view(query, plain).score == detector.score_view(query).score
    said = json.loads(json.dumps(after.to_dict()))
    assert {r["sha256"] for r in said["library"]["references"]} == {r.clip.sha256 for r in case}
    assert said["library"]["snapshot"] == before.to_dict()["library"]["snapshot"]
    assert said["library"]["view"] != before.to_dict()["library"]["view"]


def test_taking_a_neighbour_out_rescores_and_the_influence_says_by_how_much(both, query, place):
    detector, view = both[rad.RAD_NAME], View(place[1])
    whole = detector.score_view(query, view)
    shares = attention_by_clip(whole, query, view)
    assert sum(share for _, share in shares) == pytest.approx(1.0, abs=1e-5) and all(c.bonafide for c, _ in shares)
    for i in influences(detector, query, view, most=3):
        without = View(place[1], without=frozenset({i.clip.sha256}))
        assert detector.score_view(query, without).score - whole.score == pytest.approx(i.change)


def test_with_nothing_left_there_is_a_reason_instead_of_a_score(both, query, place):
    nobody = View(place[1], where=lambda c: False, filter_words="nobody")
    found = score(both[rad.RAD_NAME], query, nobody)
    assert found.score is None and "no reference of a needed kind" in found.problem
    spoofs = View(place[1], where=lambda c: not c.bonafide, filter_words="spoofs")
    assert score(both[rad.KNN_NAME], query, spoofs).score is None


def test_the_network_can_be_looked_into_and_agrees_with_itself(both, place):
    detector = both[rad.RAD_NAME]
    sound = recording(voiced(4.0, seed=71))
    wav = torch.from_numpy(np.array(sound.samples))[None].requires_grad_(True)
    found = detector.window_scores(wav)
    found.sum().backward()
    assert wav.grad.abs().max() > 0
    whole = detector.score_view(measure(encoded(sound, place[0]), place[1]))
    assert float(found.detach()) == pytest.approx(whole.score, abs=0.05)  # the library keeps fp16
    with pytest.raises(ModelUnavailable):
        both[rad.KNN_NAME].window_scores(wav)


def test_damaged_files_and_foreign_libraries_are_refused(place, tmp_path):
    encoder, library, folder = place
    import shutil

    shutil.copytree(folder, tmp_path / "rad")
    card = json.loads((tmp_path / "rad" / "card.json").read_text())
    (tmp_path / "rad" / "card.json").write_text(json.dumps(card | {"geometry_sha256": "other"}))
    with pytest.raises(LibraryError, match="another map"):
        rad.retrieval_detector(rad.RAD_NAME, encoder, library, tmp_path / "rad")
    shutil.copytree(folder, tmp_path / "cut")
    path = tmp_path / "cut" / rad.WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelUnavailable, match="not the file its card names"):
        rad.retrieval_detector(rad.RAD_NAME, encoder, library, tmp_path / "cut")
    with pytest.raises(ModelUnavailable, match=r"rad\.safetensors"):
        rad.retrieval_detector(rad.RAD_NAME, encoder, library, tmp_path / "nowhere")


def test_band_levels_see_a_tone_where_it_is():
    levels, frequencies = band_levels(tone(1000.0, 1.0))
    assert levels.shape[1] == 64 and abs(frequencies[levels.mean(0).argmax()] - 1000) <= 125
    hiss = noise(1.0)
    np.testing.assert_allclose(long_term(band_levels(2 * hiss)[0]), long_term(band_levels(hiss)[0]), atol=0.01)


def test_what_is_shipped_fits_together():
    """The shipped weights, calibrations, card and library name each other."""
    from core.library import open_library

    detector = rad.load(rad.RAD_NAME)
    library = open_library()
    assert detector.card["geometry_sha256"] == library.geometry.sha256
    assert detector.card["library_snapshot"] == library.snapshot.id
    assert sum(f.stat().st_size for f in library.folder.iterdir()) < 40e6
    assert not [f for f in library.folder.iterdir() if f.suffix in (".flac", ".wav", ".mp3")]
