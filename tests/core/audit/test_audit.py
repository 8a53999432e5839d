"""The audit's own correctness: it must tell good maps from bad ones on models whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.audio import read_recording
from core.audit import curves, randomise, regions, stability
from core.audit.agreement import likeness, overlap, spearman, top_overlap
from core.audit.cells import grid_of, removed
from core.audit.verdict import audit
from tests import known_models as known
from tests.factories import sound_bytes, voiced


def posed(scorer, samples=None, plane="log-mel"):
    samples = voiced(2.0, seed=3) if samples is None else samples
    return pose(read_recording(sound_bytes(samples, subtype="FLOAT"), "v.wav"), scorer, Question("clip", None, plane))


# ---- cells and likeness ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(rows=st.sampled_from([1, 7, 80, 257]), columns=st.integers(1, 430))
def test_cells_tile_the_map_and_keep_its_sum(rows, columns):
    values = np.random.default_rng(columns).standard_normal((rows, columns))
    grid = grid_of(values.shape)
    pooled = grid.pool(values)
    assert pooled.shape == grid.shape and pooled.sum() == pytest.approx(values.sum())
    assert np.array_equal(np.unique(grid.spread(np.arange(pooled.size).reshape(pooled.shape))), np.arange(pooled.size))


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_likeness_knows_the_same_the_opposite_and_the_unrelated(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 80, 400))
    same, opposite, other = likeness(a, 3 * a), likeness(a, -a), likeness(a, b)
    assert same.rank == pytest.approx(1) and same.top == 1 and same.overlap == pytest.approx(1)
    assert opposite.rank == pytest.approx(-1) and opposite.top == 1
    assert abs(other.rank) < 0.13 and other.top < 0.25
    assert likeness(a, b).rank == pytest.approx(likeness(b, a).rank)


def test_likeness_in_numbers():
    from scipy.stats import spearmanr

    a, b = np.array([1.0, 2, 2, 3, 9]), np.array([2.0, 1, 4, 4, 5])
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(a, np.ones(5)) == 0.0
    assert overlap(np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])) == 0.0
    assert top_overlap(np.arange(10.0), np.arange(10.0)[::-1], 0.2) == 0.0
    with pytest.raises(ValueError, match="can't be compared"):
        likeness(np.ones((80, 10)), np.ones((80, 11)))


def test_a_map_over_time_only_is_compared_over_time():
    rng = np.random.default_rng(0)
    line = rng.standard_normal(400)
    flat = np.broadcast_to(line, (80, 400)) / 80
    ragged = rng.standard_normal((80, 400))
    ragged += (line - ragged.sum(0)) / 80  # any shape over frequency with the same profile over time
    assert likeness(flat, ragged).rank == pytest.approx(1.0)


# ---- removal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", ["log-mel", "spectrum", "waveform"])
def test_removing_nothing_or_everything_gives_both_ends(plane):
    from core.attribute.baselines import make_baseline

    problem = posed(known.one_band(), plane=plane).problems[0]
    base = make_baseline(problem, "mean-bonafide")
    shape = problem.to_map(problem.x[0]).shape
    none, everything = np.zeros((1, *shape), bool), np.ones((1, *shape), bool)
    assert (removed(problem, base, none) == problem.x).all()
    assert (removed(problem, base, everything) == base).all()


def test_for_a_linear_model_no_order_beats_its_attribution():
    """Deletion by descending parts of a sum is optimal at every share: each removed set is the k largest."""
    question = posed(known.linear())
    found = compute(question, "integrated-gradients", "mean-bonafide")
    made = curves.measure(question, found.windows, "mean-bonafide")
    towards = np.sign(found.gap)
    for other in (made.energy, *made.random):
        assert (towards * (made.map.deletion - other.deletion) < 1e-4).all()
        assert (towards * (made.map.insertion - other.insertion) > -1e-4).all()
    inverse = curves.measure(question, [-w for w in found.windows], "mean-bonafide")
    assert inverse.map.faithfulness < made.random_mean < made.map.faithfulness


def test_curves_start_and_end_at_the_two_scores():
    question = posed(known.one_band())
    found = compute(question, "integrated-gradients")
    made = curves.measure(question, found.windows, "silence")
    for curve in (made.map, made.energy, *made.random):
        assert curve.deletion[[0, -1]] == pytest.approx([found.score, found.baseline_score], abs=1e-6)
        assert curve.insertion[[0, -1]] == pytest.approx([found.baseline_score, found.score], abs=1e-6)


def test_a_random_map_does_no_better_than_random_orders():
    question = posed(known.linear())
    rng = np.random.default_rng(0)
    made = [curves.measure(question, [rng.standard_normal((80, 200))], "own-mean", seed=s) for s in range(6)]
    spread = np.std([c.faithfulness for m in made for c in m.random])
    assert abs(np.mean([m.map.faithfulness - m.random_mean for m in made])) < 2 * spread


# ---- the single tests --------------------------------------------------------------------------------------


def test_destroyed_weights_give_another_map_and_a_map_of_the_input_stays():
    question = posed(known.linear())
    found = compute(question, "integrated-gradients")
    assert abs(randomise.measure(question, found.values, "integrated-gradients", "silence", {}).rank) < 0.2
    stubborn = posed(known.KnownScorer(known.one_band().score, broken=lambda seed: known.one_band()))
    found = compute(stubborn, "integrated-gradients")
    assert randomise.measure(stubborn, found.values, "integrated-gradients", "silence", {}).rank == pytest.approx(1)
    lone = posed(known.KnownScorer(known.one_band().score))
    assert randomise.measure(lone, found.values, "integrated-gradients", "silence", {}) is None


def test_a_smooth_model_is_stable():
    question = posed(known.one_band())
    found = compute(question, "integrated-gradients", "silence")
    steady = stability.measure(question, found.values, found.score, "integrated-gradients", "silence", {})
    assert steady.likeness.rank > 0.6 and steady.moved < 0.1 * abs(found.gap)


def test_shares_of_a_planted_stretch():
    times = (np.arange(400) + 0.5) * 0.01
    values = np.ones((80, 400))
    by_time = {s.where: s for s in regions.shares(values, times, [(1.0, 2.0)])}
    assert sum(s.mass for s in by_time.values()) == pytest.approx(1) == sum(s.time for s in by_time.values())
    assert all(s.ratio == pytest.approx(1) for s in by_time.values())
    assert by_time["edges"].time == pytest.approx(0.08) and by_time["inside"].time == pytest.approx(0.21)
    values[:, 110:190] = -50.0
    inside = {s.where: s for s in regions.shares(values, times, [(1.0, 2.0)])}["inside"]
    assert inside.mass > 0.9
    assert {s.where: s.mass for s in regions.shares(values, times, [(1.0, 2.0)], sign=1)}["inside"] < 0.05
    with pytest.raises(ValueError, match="no stretch"):
        regions.shares(values, times, [])


# ---- the verdict -------------------------------------------------------------------------------------------


def failing(audit_):
    return {c.code for c in audit_.checks if c.passed is False}


def test_a_planted_artefact_is_found_and_its_map_believed():
    """A tone between 0.8 and 1.2 s at 3 kHz that the detector listens for."""
    scorer = known.artefact(3_000.0)
    question = posed(scorer, known.with_tone(voiced(2.0, seed=3), 0.8, 1.2))
    found = compute(question, "integrated-gradients", "mean-bonafide")
    made = audit(question, found, spans=[(0.8, 1.2)])
    assert made.reliable, made.sentence
    places = {s.where: s for s in made.shares}
    assert places["inside"].ratio > 2 > places["outside"].ratio
    strongest = np.unravel_index(np.abs(found.values).argmax(), found.values.shape)
    assert abs(strongest[0] - scorer.band) <= 4 and 0.75 < found.times_s[strongest[1]] < 1.25


def test_a_random_map_of_the_same_detector_is_not_believed():
    from dataclasses import replace

    question = posed(known.artefact(3_000.0), known.with_tone(voiced(2.0, seed=3), 0.8, 1.2))
    found = compute(question, "integrated-gradients", "mean-bonafide")
    noise = np.random.default_rng(0).standard_normal(found.values.shape) * np.abs(found.values).mean()
    made = audit(question, replace(found, values=noise, windows=(noise,)))
    assert not made.reliable and {"faithful", "agreement", "stability", "completeness"} <= failing(made)
    assert made.sentence.startswith("Not reliable here: ")


def test_a_detector_that_hears_nothing_has_nothing_to_explain():
    question = posed(known.blind())
    made = audit(question, compute(question, "integrated-gradients", "silence"))
    assert "gap" in failing(made) or "completeness" in failing(made)
    assert not made.reliable


def test_a_map_of_the_spectrogram_alone_fails():
    """Loud where the recording is loud, whatever the detector does: the commonest false explanation."""
    from dataclasses import replace

    question = posed(known.one_band(60, 68))
    found = compute(question, "integrated-gradients", "mean-bonafide")
    loud = question.problems[0].x[0].double().numpy()
    made = audit(question, replace(found, values=loud, windows=(loud,)))
    assert {"loudness", "completeness"} <= failing(made)
    assert made.curves.map.faithfulness == pytest.approx(made.curves.energy.faithfulness)


def test_progress_is_told_and_may_cancel():
    from core.errors import Cancelled

    question = posed(known.one_band())
    found = compute(question, "integrated-gradients")
    seen = []
    audit(question, found, on_progress=lambda share, words: seen.append((share, words)))
    shares = [s for s, _ in seen]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1 and len({w for _, w in seen}) >= 4

    def stop(share, words):
        raise Cancelled()

    with pytest.raises(Cancelled):
        audit(question, found, on_progress=stop)
