"""Fitting the panel: balance, the ridge's laws, and splits that keep sources apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.training import panel as fitting
from core.training.corpus import FOLDS, Clip, split
from core.training.panel import (
    Bank,
    PanelRecipe,
    _parts,
    apply,
    beyond,
    build_bank,
    clip_scores,
    clip_weights,
    fit_linear,
    fit_panel,
    join,
    variants,
)
from core.training.panel_frames import BEYOND, Places, build_places, fit_frames, join_places
from core.training.panel_runs import leave_out, partitions
from models.aasist import AASIST
from models.panel import LOCAL, NETWORK_VIEWS, WIDTHS, panel_with

BLANK = panel_with(AASIST.tiny().state_dict())
NEAR = BLANK.near.weight.shape[0]


def clip(name: str, label: str, source: str, system: str = "", copier: str = "") -> Clip:
    return Clip(name, f"{name}.flac", label, system or label, "human" if label == "bonafide" else "tts", "", source, "",
                "en", name, copier)


def corpus(per: int = 6) -> list[Clip]:
    """Every declared source, both classes in each."""
    return [clip(f"{source}-{label}-{i}", label, source, f"{source}-{i % 2}" if label == "spoof" else "")
            for fold in FOLDS for source in fold for label in ("bonafide", "spoof") for i in range(per)]


def bank_of(clips: list[Clip], seed: int = 0, gap: float = 1.0) -> Bank:
    """Two windows a clip; every view tells the classes by ``gap``."""
    rng = np.random.default_rng(seed)
    names = np.array([c.clip for c in clips for _ in range(2)])
    sign = np.array([1.0 if c.bonafide else -1.0 for c in clips for _ in range(2)])[:, None]
    widths = {**WIDTHS, **{name: len(BLANK.members[name].weight) for name in NETWORK_VIEWS}}
    vectors = {k: (rng.standard_normal((len(names), d)) + gap * sign * (np.arange(d) < 3)).astype(np.float16)
               for k, d in widths.items()}
    return Bank(names, np.zeros(len(names), int), np.full(len(names), 64_000), vectors)


def test_weights_are_halved_between_the_classes():
    clips = corpus(3)
    weights = clip_weights(clips)
    for label in (True, False):
        assert sum(weights[c.clip] for c in clips if c.bonafide == label) == pytest.approx(0.5)


def test_a_system_with_four_times_the_clips_counts_twice():
    clips = [*(clip(f"a{i}", "spoof", "s", "small") for i in range(5)),
             *(clip(f"b{i}", "spoof", "s", "large") for i in range(20)),
             clip("r", "bonafide", "s")]
    weights = clip_weights(clips)
    small, large = (sum(weights[c.clip] for c in clips if c.system == s) for s in ("small", "large"))
    assert large == pytest.approx(2 * small)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_the_fit_does_not_depend_on_unit_or_offset_of_a_statistic(seed, unit, offset):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 5)).astype(np.float32)
    target = np.sign(x[:, 0] + 0.3 * rng.standard_normal(60))
    weight = rng.uniform(0.5, 1.5, 60)
    one = apply(fit_linear(x, target, weight, 0.1), x)
    other = apply(fit_linear(unit * x + offset, target, weight, 0.1), unit * x + offset)
    assert np.allclose(one, other, atol=5e-3)


def test_wide_and_tall_problems_are_solved_alike():
    """The dual form for more statistics than rows and the primal one agree where both apply."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 30)).astype(np.float32)
    target, weight = np.sign(x[:, 0]), np.ones(40)
    tall = fit_linear(x, target, weight, 0.5)
    twice = fit_linear(np.concatenate([x, x], axis=1), target, weight, 0.5)  # 60 statistics: dual
    assert np.allclose(apply(tall, x), apply(twice, np.concatenate([x, x], axis=1)), atol=1e-3)


def test_scaling_all_weights_changes_nothing():
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((50, 4)).astype(np.float32), rng.uniform(0.1, 1.0, 50)
    target = np.sign(x[:, 1])
    assert torch.allclose(fit_linear(x, target, weight, 0.1).weight, fit_linear(x, target, 7 * weight, 0.1).weight,
                          atol=1e-5)


def sources(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """120 rows of 3 statistics: the first tells the classes, the second the two sources of each class, as plainly."""
    rng = np.random.default_rng(seed)
    target, source = np.repeat([1.0, -1.0], 60), np.tile(["near", "far"], 60)
    x = 0.2 * rng.standard_normal((120, 3))
    x[:, 0] += target
    x[:, 1] += np.where(source == "far", 1.0, -1.0) + 0.5 * target  # the sources are uneven, so it tells classes too
    return x.astype(np.float32), target, source


def test_what_tells_sources_apart_weighs_less_the_higher_their_penalty():
    x, target, source = sources(0)
    weight = np.ones(len(x))
    share = []
    for penalty in (0.0, 1.0, 100.0):
        w = fit_linear(x, target, weight, 0.1, source, penalty).weight.abs()
        share.append(float(w[1] / w[0]))
    assert share[0] > share[1] > share[2] and share[2] < 0.05
    plain = fit_linear(x, target, weight, 0.1)
    assert torch.allclose(plain.weight, fit_linear(x, target, weight, 0.1, source, 0.0).weight, atol=1e-6)


def test_names_of_sources_mean_nothing_and_one_source_per_class_costs_nothing():
    x, target, source = sources(1)
    weight = np.ones(len(x))
    renamed = np.where(source == "far", "a", "b")
    assert torch.allclose(fit_linear(x, target, weight, 0.1, source).weight,
                          fit_linear(x, target, weight, 0.1, renamed).weight, atol=1e-6)
    single = np.where(target > 0, "studio", "server")
    assert torch.allclose(fit_linear(x, target, weight, 0.1, single, 50.0).weight,
                          fit_linear(x, target, weight, 0.1).weight, atol=1e-5)


def test_members_without_a_say_have_no_share_and_the_rest_is_told_apart():
    clips = corpus(2)
    bank = bank_of(clips)
    recipe = PanelRecipe(members=("lines", "phase"), views=(0,))
    panel = fit_panel(bank, clips, recipe, BLANK)
    assert {n for n, s in zip(panel.names, panel.share.tolist(), strict=True) if s > 0} == {"lines", "phase"}
    scores, members = clip_scores(panel, bank)
    real = [scores[c.clip] for c in clips if c.bonafide]
    fake = [scores[c.clip] for c in clips if not c.bonafide]
    assert min(real) > max(fake)
    assert set(members) == set(panel.names)


def test_emphasis_multiplies_a_members_part_of_the_sum_and_nothing_else():
    clips = corpus(3)
    bank = bank_of(clips)
    even = fit_panel(bank, clips, PanelRecipe(views=(0,), emphasis=()), BLANK)
    more = fit_panel(bank, clips, PanelRecipe(views=(0,), emphasis=(("lines", 3.0),)), BLANK)
    factor = (more.share / even.share).tolist()
    wanted = {n: 3.0 if n == "lines" else 1.0 for n in more.names}
    assert dict(zip(more.names, factor, strict=True)) == pytest.approx(wanted)
    assert all(torch.equal(even.members[n].weight, more.members[n].weight) for n in even.names)


def test_a_clip_is_the_mean_of_its_windows_by_length():
    clips = corpus(1)
    bank = bank_of(clips)
    panel = fit_panel(bank, clips, PanelRecipe(views=(0,)), BLANK)
    even = clip_scores(panel, bank)[0]
    only_first = replace(bank, samples=np.where(np.arange(len(bank.clip)) % 2 == 0, 64_000, 0))
    first = clip_scores(panel, only_first)[0]
    only_second = replace(bank, samples=np.where(np.arange(len(bank.clip)) % 2 == 1, 64_000, 0))
    second = clip_scores(panel, only_second)[0]
    assert all(even[k] == pytest.approx((first[k] + second[k]) / 2, abs=1e-5) for k in even)


def test_every_partition_has_every_source_once():
    clips = corpus(2)
    for folds in partitions(clips).values():
        dealt = [s for fold in folds for s in fold]
        assert sorted(dealt) == sorted({s for fold in FOLDS for s in fold})
    found = {frozenset(frozenset(f) for f in folds) for folds in partitions(clips).values()}
    assert len(found) == 4


def test_what_is_held_out_is_not_fitted_on(monkeypatch):
    clips = corpus(2)
    bank, fitted = bank_of(clips), []
    original = fitting.fit_panel
    monkeypatch.setattr("core.training.panel_runs.fit_panel",
                        lambda b, chosen, *a: (fitted.append({c.source for c in chosen}), original(b, chosen, *a))[1])
    scores, _, _ = leave_out(bank, clips, FOLDS, PanelRecipe(views=(0,)), BLANK)
    assert set(scores) == {c.clip for c in clips}
    for fold, sources in zip(FOLDS, fitted, strict=True):
        assert not sources & set(fold)
        assert sources == {c.source for c in split(clips, fold)[0]}


def test_banks_join_in_order():
    clips = corpus(1)
    a, b = bank_of(clips[:10], 1), bank_of(clips[10:], 2)
    both = join([a, b])
    assert list(both.clip) == [*a.clip, *b.clip]
    assert np.array_equal(both.vectors["lines"], np.concatenate([a.vectors["lines"], b.vectors["lines"]]))


def test_the_comparisons_differ_from_the_recipe_in_one_thing_each():
    recipe = PanelRecipe()
    known = variants(recipe)
    assert not known["corpus-only"].more
    assert known["panel"] == recipe and not known["no-copies"].copies and known["no-augmentation"].views == (0,)
    for member in recipe.members:
        assert set(recipe.members) - set(known[f"without-{member}"].members) == {member}


def test_the_frame_score_finds_what_differs_inside_a_recording():
    rng = np.random.default_rng(3)
    n = 400
    label = rng.random(n) < 0.7
    x = rng.standard_normal((n, LOCAL)).astype(np.float32)
    x[:, 7] += np.where(label, 1.5, -1.5)
    near = rng.standard_normal((n, NEAR)).astype(np.float16)
    near[:, 3] += np.where(label, 1.0, -1.0).astype(np.float16)
    places = Places(x.astype(np.float16), near, label, np.arange(n) % 4, np.arange(n) // 10, np.arange(n) % 2 == 0)
    panel = BLANK.unfitted()
    fit_frames(panel, places, (0, 1, 2), PanelRecipe())
    held = places.fold == 3
    parts = [apply(panel.local, x[held]), apply(panel.near, near[held])]
    for scores in parts:
        assert scores[label[held]].mean() > scores[~label[held]].mean() + 0.2
    parts = [apply(panel.local, x[~held]), apply(panel.near, near[~held])]
    assert 1.6 < parts[0].std() / parts[1].std() < 2.4  # the views' part counts twice


def test_a_fold_that_is_left_out_has_no_part_in_the_frame_score():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((200, LOCAL)).astype(np.float16)
    label, fold = rng.random(200) < 0.5, np.arange(200) % 4
    one, other = BLANK.unfitted(), BLANK.unfitted()
    spoilt = np.where((fold == 3)[:, None], 100.0, x).astype(np.float16)
    for panel, values in ((one, x), (other, spoilt)):
        places = Places(values, values[:, :NEAR], label, fold, np.arange(200), np.ones(200, bool))
        fit_frames(panel, places, (0, 1, 2), PanelRecipe())
    assert torch.equal(one.local.weight, other.local.weight) and torch.equal(one.near.weight, other.near.weight)


def test_hybrids_have_places_on_both_sides_and_none_at_a_splice(tmp_path, monkeypatch):
    """From samples to labelled places, on sound of two kinds."""
    rng = np.random.default_rng(5)
    clips = [clip(f"{label}{i}", label, FOLDS[0][0]) for label in ("bonafide", "spoof") for i in range(3)]
    clips += [clip(f"beyond-{label}{i}", label, "elsewhere") for label in ("bonafide", "spoof") for i in range(2)]
    (tmp_path / "audio").mkdir()
    for c in clips:
        np.save(tmp_path / "audio" / f"{c.clip}.npy", (3_000 * rng.standard_normal((1, 48_000))).astype(np.int16))
    monkeypatch.setattr("core.training.panel_frames.HYBRIDS", 4)
    monkeypatch.setattr("core.training.panel_frames.WHOLE_EVERY", 1)
    places = build_places(tmp_path, clips, BLANK)
    again = build_places(tmp_path, clips, BLANK)
    assert np.array_equal(places.x, again.x) and set(places.fold) == {0, BEYOND}
    assert np.array_equal(places.near, again.near) and places.near.any()
    hybrid = ~places.whole
    assert len(set(places.item[hybrid])) == 4 + 4 and 0 < places.bonafide[hybrid].mean() < 1
    whole = {bool(v) for v in places.bonafide[places.whole]}
    assert whole == {True, False}


def test_items_of_joined_folders_stay_apart():
    def part(seed: int) -> Places:
        rng = np.random.default_rng(seed)
        yes = np.ones(6, bool)
        x, near = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
        return Places(x, near, yes, np.zeros(6, int), np.arange(6) // 2, yes)

    both = join_places([part(0), part(1)])
    assert len(set(both.item)) == 6 and np.array_equal(both.x[6:], part(1).x)


def test_what_lies_beyond_the_folds_has_its_share_and_is_always_trained_on():
    clips = [*corpus(2), *(clip(f"b{i}", label, "elsewhere") for i, label in enumerate(["bonafide", "spoof"] * 5))]
    weights = clip_weights(clips, 0.4)
    for label in ("bonafide", "spoof"):
        for far, share in ((True, 0.4), (False, 0.6)):
            mine = sum(weights[c.clip] for c in clips if c.label == label and beyond(c) == far)
            assert mine == pytest.approx(0.5 * share)
    for fold in FOLDS:
        training, test = split(clips, fold)
        assert sum(beyond(c) for c in training) == 10 and not any(beyond(c) for c in test)


def test_the_network_is_fitted_on_undegraded_views_alone():
    clips = corpus(2)
    bank = bank_of(clips)
    spoilt = {k: v * (0 if k in NETWORK_VIEWS else 1) for k, v in bank.vectors.items()}
    degraded = replace(bank, view=np.full(len(bank.clip), 2), vectors=spoilt)
    one = fit_panel(bank, clips, PanelRecipe(views=(0,)), BLANK)
    both = fit_panel(join([bank, degraded]), clips, PanelRecipe(views=(0, 2)), BLANK)
    assert all(torch.equal(one.members[name].weight, both.members[name].weight) for name in NETWORK_VIEWS)


def test_degraded_views_share_their_part_of_a_clips_weight():
    names = np.array(["a", "a", "a", "b", "c"])
    clean = np.array([True, False, False, True, False])
    assert _parts(names, clean, 0.2) == pytest.approx([0.8, 0.1, 0.1, 1.0, 1.0])


def test_two_processes_measure_what_one_does(tmp_path, monkeypatch):
    rng = np.random.default_rng(6)
    clips = [clip(f"c{i}", "bonafide", FOLDS[0][0]) for i in range(5)]
    banks = []
    monkeypatch.setattr(fitting, "PORTION", 2)
    threads = torch.get_num_threads()
    sound = (3_000 * rng.standard_normal((5, 1, 20_000))).astype(np.int16)
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        (folder / "audio").mkdir(parents=True)
        for c, x in zip(clips, sound, strict=True):
            np.save(folder / "audio" / f"{c.clip}.npy", x)
        told: list[tuple[int, int]] = []
        torch.set_num_threads(1)  # as in the processes: bfloat16 sums depend on how the work is shared
        try:
            banks.append(build_bank(folder, clips, 0, BLANK, lambda *n, told=told: told.append(n), workers))
        finally:
            torch.set_num_threads(threads)
        assert told == [(2, 5), (4, 5), (5, 5)]
    one, two = banks
    assert one.clip.tolist() == two.clip.tolist() == [c.clip for c in clips]
    for name, values in one.vectors.items():
        assert np.allclose(values.astype(float), two.vectors[name].astype(float), rtol=1e-2, atol=1e-3)
