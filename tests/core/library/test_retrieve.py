"""Search is brute force, bit by bit; nothing finds itself; filters, references and removals do what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audio import read_recording
from core.encode import encode
from core.library import Clip, LibraryError, Segments
from core.library.compare import View, compare, encoded, measure, reference
from core.library.geometry import unit
from core.retrieve import LayerIndex, Searcher, cosines
from tests.factories import recording, voiced, with_noise


def _vectors(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, d))).astype(np.float32)


def _segments(vectors: np.ndarray, clips: tuple[Clip, ...], owner: np.ndarray) -> Segments:
    n = len(vectors)
    return Segments(clips, owner, np.zeros((n, 2), int), np.ones(n, int), vectors, (), np.zeros((n, 2), int))


@given(st.integers(1, 400), st.integers(1, 40), st.integers(0, 9))
def test_exact_search_is_brute_force_bit_by_bit(n, k, seed):
    vectors, queries = _vectors(n, seed=seed), _vectors(3, seed=seed + 100)
    scores, rows = LayerIndex(vectors).search(queries, k)
    for i, query in enumerate(queries):
        every = cosines(query, vectors)
        best = np.argsort(-every, kind="stable")[:k]
        np.testing.assert_array_equal(rows[i, : len(best)], best)
        np.testing.assert_array_equal(scores[i, : len(best)], every[best])
        assert (rows[i, len(best) :] == -1).all()


def test_ties_go_to_the_earlier_segment_and_batches_agree():
    vectors = np.repeat(_vectors(5), 4, axis=0)
    index = LayerIndex(vectors)
    together = index.search(_vectors(40, seed=3), 6)
    for i in range(40):
        alone = index.search(_vectors(40, seed=3)[i : i + 1], 6)
        np.testing.assert_array_equal(alone[0][0], together[0][i])
        np.testing.assert_array_equal(alone[1][0], together[1][i])


def test_a_mask_is_kept_to():
    vectors = _vectors(200)
    allowed = np.arange(200) % 7 == 0
    _, rows = LayerIndex(vectors).search(vectors[:5], 50, allowed)
    assert set(rows[rows >= 0].tolist()) <= set(np.flatnonzero(allowed).tolist()) and (rows[:, 29:] == -1).all()


def test_an_approximate_index_that_misses_too_much_is_refused():
    vectors = _vectors(3000, 32)
    index = LayerIndex(vectors, "hnsw")
    assert index.recall >= 0.95
    with pytest.raises(LibraryError, match="use the exact index"):
        LayerIndex(vectors, "ivf", least_recall=1.01)


def test_an_approximate_index_is_for_large_libraries_and_its_recall_is_quoted(library, detector, monkeypatch):
    query = measure(encoded(recording(voiced(2.0, seed=4)), detector), library, detector)
    with pytest.raises(LibraryError, match="use the exact one"):
        compare(query, View(library, index="hnsw"))
    monkeypatch.setattr("core.retrieve.APPROXIMATE_FROM", 1)
    said = compare(query, View(library, index="hnsw")).to_dict()["library"]
    assert said["index"] == "hnsw" and len(said["recall_at_10"]) == library.geometry.n_layers
    assert all(r >= 0.95 for r in said["recall_at_10"].values())
    assert compare(query, library).to_dict()["library"]["recall_at_10"]["layer 0"] == 1.0


def test_the_best_segment_of_a_clip_stands_for_it():
    clips = tuple(Clip(f"{i}", f"{i}", "bonafide") for i in range(4))
    vectors = _vectors(12)[:, None]
    found = Searcher(_segments(vectors, clips, np.repeat(np.arange(4), 3))).neighbours(vectors[4], 3)[0]
    assert [n.rank for n in found] == [1, 2, 3] and len({n.clip.sha256 for n in found}) == 3
    assert found[0].clip.sha256 == "1" and found[0].segment == 4
    assert [n.cosine for n in found] == sorted((n.cosine for n in found), reverse=True)


def test_the_nearest_neighbour_score_has_a_known_answer_and_no_prior():
    clips = (Clip("b", "b", "bonafide"), Clip("s", "s", "spoof"))
    axes = np.eye(3, dtype=np.float32)
    vectors = np.stack([axes[0], axes[1], axes[1]])[:, None]
    found = Searcher(_segments(vectors, clips, np.array([0, 1, 1])))
    queries = np.stack([axes[0], axes[1], axes[2]])[:, None]
    np.testing.assert_allclose(found.knn_scores(queries, 1), [1, -1, 0])  # two spoofs to one count no more
    assert np.isnan(found.knn_scores(queries, 1, np.array([True, False, False]))).all()


@pytest.fixture(scope="module")
def query(library, detector):
    return measure(encoded(recording(voiced(9.0, seed=55)), detector), library, detector)


def test_a_recording_never_finds_its_own_bytes(library, detector, clips):
    own = read_recording(clips / "clip04.wav")
    found = compare(encoded(own, detector), library, k=12)
    assert all(len(layer) == 11 for layer in found.layers)
    assert own.sha256 not in {n.clip.sha256 for layer in found.layers for n in layer}


def test_a_noisy_copy_finds_its_original_first(library, detector, clips):
    clean = read_recording(clips / "clip06.wav")
    noisy = recording(with_noise(0.8 * clean.samples, 55.0))  # the encoder is random; real rates are in the card
    found = compare(encoded(noisy, detector), library, k=1)
    assert all(layer[0].clip.sha256 == clean.sha256 for layer in found.layers)


def test_filters_removals_and_references_change_what_answers(library, detector, query):
    whole = compare(query, library, k=5)
    first = whole.layers[0][0].clip
    without = compare(query, View(library, without=frozenset({first.sha256})), k=5)
    assert [n.clip for n in without.layers[0][:4]] == [n.clip for n in whole.layers[0][1:]]
    spoofs = compare(query, View(library, where=lambda c: not c.bonafide, filter_words="spoofs"), k=20)
    assert {n.clip.label for layer in spoofs.layers for n in layer} == {"spoof"} and len(spoofs.layers[0]) == 6
    own = reference(recording(voiced(9.0, seed=55) * 0.9), "bonafide", library, detector, speaker="claimed")
    added = compare(query, View(library, references=(own, own)), k=5)
    assert all(layer[0].clip.speaker == "claimed" for layer in added.layers), "a reference given twice answers once"
    assert [n.clip for n in added.layers[0][1:]] == [n.clip for n in whole.layers[0][:4]]
    views = {f.view.quote()["view"] for f in (whole, without, spoofs, added)}
    assert len(views) == 4
    said = added.to_dict()
    assert (
        said["library"]["references"][0]["sha256"] == own.clip.sha256
        and said["library"]["snapshot"] == library.snapshot.id
    )


def test_a_filter_does_not_silence_the_cases_own_references(library, detector, query):
    own = reference(recording(voiced(3.0, seed=77)), "bonafide", library, detector)
    view = View(library, references=(own,), where=lambda c: False, filter_words="nothing")
    found = compare(query, view, k=5)
    assert [[n.clip.sha256 for n in layer] for layer in found.layers] == [[own.clip.sha256]] * len(found.layers)
    assert compare(query, dataclasses.replace(view, without=frozenset({own.clip.sha256})), k=5).layers[0] == ()


def test_regions_choose_windows(query):
    assert [w.start for w in query.windows] == [0, 64_000, 128_000]
    assert query.within(0, 64_000) == [0] and query.within(70_000, 72_000) == [1]
    assert query.within(0, 144_000) == [0, 1, 2]
    np.testing.assert_allclose(query.vector([1]), query.vectors[1], atol=1e-6)


def test_an_encoding_with_adapters_is_refused(library, detector):
    from core.encode import encode

    with pytest.raises(ValueError, match="without adapters"):
        measure(encode(recording(voiced(2.0)), detector), library)
    with pytest.raises(LibraryError, match="between 1 and"):
        compare(encoded(recording(voiced(2.0)), detector), library, k=0)


@pytest.mark.parametrize("fast", [False, True])
def test_a_query_may_be_encoded_coarsely_and_still_means_the_same(library, detector, monkeypatch, fast):
    source = recording(voiced(9.0, seed=12))
    fine = measure(encode(source, detector, adapters=False), library, detector)
    monkeypatch.setattr("core.encode.bf16_processor", lambda: fast)
    query = measure(encoded(source, detector), library, detector)
    if not fast:
        np.testing.assert_array_equal(query.vectors, fine.vectors)
    assert (query.vectors * fine.vectors).sum(-1).min() > 0.99
    alone = measure(encoded(source, detector, batch=1), library, detector)
    np.testing.assert_allclose(alone.vectors, query.vectors, atol=0.02 if fast else 1e-5)
