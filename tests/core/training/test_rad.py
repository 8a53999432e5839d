"""RAD's training: nothing retrieves itself, held-out sources stay out, ablations are ablations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.library.geometry import unit
from core.training.corpus import Clip
from core.training.rad import (
    RadRecipe,
    clip_scores,
    fold_parts,
    ground,
    neighbours_of,
    rad_variants,
    train_rad,
    window_scores,
)
from core.training.rad_features import Windows
from core.training.rad_recall import auc, macro_f1, recall_figures
from core.training.rad_shelf import EXCLUDE, Facts, Shelf, Shifts, fit_to, nearest, shelve, shifts_of


def _clips() -> list[Clip]:
    clips = []
    for i in range(24):
        label, family = ("bonafide", "human") if i % 2 else ("spoof", "tts")
        clips.append(Clip(f"c{i}", "", label, f"s{i % 4}", family, f"v{i // 4}", f"source{i // 8}", parent=f"c{i}"))
    clips.append(Clip("c1-world", "", "spoof", "copy:world", "copy", "v0", "source0", parent="c1", copier="world"))
    return clips


def _windows(clips: list[Clip], seed: int = 0, signal: float = 3.0) -> Windows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(clips), 2, 20, 12)).astype(np.float16)
    x[np.array([c.bonafide for c in clips]), :, :, :2] += signal
    n = len(clips)
    return Windows(x, np.arange(n), np.full(n, 20), np.zeros(n, int))


def _shifts(clips: list[Clip], view: Windows) -> Shifts:
    return shifts_of(view, [_windows(clips, seed=9)], Facts(clips))


@pytest.mark.parametrize("exclude", EXCLUDE)
def test_no_query_retrieves_itself_or_what_a_recipe_bars(exclude):
    clips = _clips()
    facts, rng = Facts(clips), np.random.default_rng(0)
    n = len(clips)
    shelf = Shelf(unit(rng.normal(size=(n, 2, 6))), np.zeros((n, 2, 5, 4), np.float16), np.full(n, 5), np.arange(n))
    rows = neighbours_of(shelf, shelf, facts, RadRecipe(k=8, exclude=exclude), rng)
    assert (rows >= 0).any()
    for i in range(n):
        for j in rows[i][rows[i] >= 0]:
            assert clips[i].parent != clips[j].parent, "a clip, or what it was copied from"
            if exclude != "clip":
                assert clips[i].speaker != clips[j].speaker
            if exclude == "source":
                assert clips[i].source != clips[j].source


@given(st.integers(0, 50), st.integers(1, 6))
def test_nearest_is_the_brute_force_answer(seed, k):
    rng = np.random.default_rng(seed)
    q, lib = unit(rng.normal(size=(4, 2, 5))), unit(rng.normal(size=(9, 2, 5)))
    barred = rng.random((4, 9)) < 0.4
    found = nearest(q, lib, barred, k)
    for i in range(4):
        for layer in range(2):
            allowed = np.flatnonzero(~barred[i])
            best = allowed[np.argsort(-(lib[allowed, layer] @ q[i, layer]), kind="stable")][:k]
            np.testing.assert_array_equal(found[i, : len(best), layer], best)
            assert (found[i, len(best) :, layer] == -1).all()


def test_a_held_out_source_is_nowhere_in_training():
    clips = _clips()
    training, test = fold_parts(clips, ["source1"])
    held = [c for c, t in zip(clips, test, strict=True) if t]
    assert held and all(c.source == "source1" and not c.copier for c in held)
    assert not {c.speaker for c in training} & {c.speaker for c in held}


def test_every_ablation_changes_one_field():
    recipe = RadRecipe()
    for name, variant in rad_variants(recipe).items():
        changed = [f for f in recipe.__dict__ if getattr(recipe, f) != getattr(variant, f)]
        assert len(changed) == (0 if name == "rad" else 1), name


def test_training_learns_and_repeats_itself():
    clips = _clips()
    view = _windows(clips)
    recipe = RadRecipe(k=3, steps=60, batch=16, views=1, rate=5e-3)
    training, test = fold_parts(clips, ["source1"])
    here = ground(clips, [view], _shifts(clips, view), training, recipe.tau)
    trained = [train_rad(clips, here, recipe, seed=1) for _ in range(2)]
    assert trained[0].losses == trained[1].losses and np.mean(trained[0].losses[-10:]) < 0.5
    facts, shelf = Facts(clips), shelve(view, trained[0].geometry)
    queries = shelf.take(np.flatnonzero(test[shelf.clip]))
    scores = clip_scores(window_scores(trained[0], queries, facts, recipe), queries.clip, clips)
    b = [s for c, s in scores.items() if facts.bonafide[int(c[1:])]]
    assert np.mean(b) > np.mean([s for c, s in scores.items() if not facts.bonafide[int(c[1:])]])
    whole = window_scores(trained[0], queries, facts, recipe)
    parts = np.concatenate(
        [window_scores(trained[0], queries.take(np.array([i])), facts, recipe) for i in range(len(whole))]
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_without_retrieval_the_library_cannot_matter():
    clips = _clips()
    view = _windows(clips)
    recipe = RadRecipe(k=3, steps=5, batch=8, views=1, sees="query")
    training, test = fold_parts(clips, ["source1"])
    trained = train_rad(clips, ground(clips, [view], _shifts(clips, view), training, recipe.tau), recipe)
    shelf = shelve(view, trained.geometry)
    queries = shelf.take(np.flatnonzero(test[shelf.clip]))
    a = window_scores(trained, queries, Facts(clips), recipe)
    b = window_scores(trained, queries, Facts(clips), replace(recipe, retrieve="random"))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_shifts_pair_a_copy_with_the_same_window_of_its_original():
    clips, facts = _clips(), Facts(_clips())
    clean = _windows(clips)
    order = np.random.default_rng(0).permutation(len(clips))
    moved = Windows((clean.x + np.float16(0.5))[order], clean.clip[order], clean.blocks[order], clean.number[order])
    shifts = shifts_of(clean, [moved], facts)
    np.testing.assert_allclose(shifts.difference, 0.5, atol=2e-3)
    assert set(shifts.clip) == set(np.flatnonzero(facts.original)), "copies of other kinds have no say"


def test_a_map_is_fitted_on_what_is_inside_and_nothing_else():
    clips, facts = _clips(), Facts(_clips())
    view, inside = _windows(clips), np.array([c.source != "source1" for c in clips])
    outside = np.flatnonzero(~inside)
    changed = Windows(view.x.copy(), view.clip, view.blocks, view.number)
    changed.x[outside] += 7
    maps = [fit_to(v, shifts_of(v, [_windows(clips, seed=9)], facts), facts, inside) for v in (view, changed)]
    assert maps[0].sha256 == maps[1].sha256


def test_recall_finds_originals_of_hardly_changed_copies():
    clips = _clips()
    view, noise = _windows(clips), _windows(clips, seed=5).x
    near = Windows(view.x + np.float16(0.01) * noise, view.clip, view.blocks, view.number)
    found = recall_figures(clips, [view, near], _shifts(clips, near), {"white-20": near, "mp3": near})
    assert np.mean([row["noisy_copy_finds_original_first"] for row in found["by_layer"]]) > 0.8
    assert {row["copy"] for row in found["copies"]} == {"degraded", "white-20", "mp3"}
    for row in found["by_layer"]:
        assert 0 <= row["speaker_at_1"] <= row["speaker_at_10"] <= 1 and row["chance_at_1"] < row["chance_at_10"]


def test_figures_of_merit_have_known_answers():
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 1.0
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])) == pytest.approx(1 / 3)
    assert auc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(0.875)
