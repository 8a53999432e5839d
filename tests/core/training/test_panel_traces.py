"""Traces: what a recording has been through is told on sources never heard, and unaltered clips are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.checks import TRACE_WORDS, _trace_rows
from core.finding import _NEXT, _REASONS
from core.training.corpus import FOLDS, split
from core.training.panel import Bank, join
from core.training.panel_traces import (
    KINDS,
    REFUSED,
    bears_traces,
    by_turns,
    fit_and_measure,
    fit_traces,
    recognisers_alone,
    together,
    trace_scores,
)
from models import views
from models.aasist import AASIST
from models.panel import TRACES, WIDTHS, load_panel, panel_with, save_panel
from tests.core.training.test_panel import clip, corpus

BLANK = panel_with(AASIST.tiny().state_dict())


def bank_of(clips, view: int, seed: int, mark: int | None = None) -> Bank:
    """Two windows a clip of noise; ``mark``: which twenty statistics of the first view this bank lies apart in."""
    rng = np.random.default_rng(seed)
    names = np.array([c.clip for c in clips for _ in range(2)])
    vectors = {k: rng.standard_normal((len(names), WIDTHS[k])).astype(np.float16) for k in views.VIEWS}
    if mark is not None:
        vectors[views.VIEWS[0]][:, 20 * mark : 20 * mark + 20] += 4.0
    return Bank(names, np.full(len(names), view), np.full(len(names), 64_000), vectors)


def material(per: int = 4):
    clips = corpus(per)
    marks = {t: j for j, t in enumerate(TRACES)}
    altered = join([bank_of(clips, k, 10 + k, marks.get(trace)) for k, (_, trace, _) in enumerate(KINDS)])
    return clips, bank_of(clips, 0, 1), altered


def test_what_was_altered_is_refused_and_little_else():
    clips, bank, altered = material()
    limits, card = fit_and_measure([BLANK.unfitted() for _ in FOLDS], bank, altered, clips)
    rows = {row["clips"]: row for row in card["rows"]}
    for name, trace, _ in KINDS:
        for other in TRACES:
            assert (rows[name][other] > 0.9) if other == trace else (rows[name][other] < 0.1)
    assert sum(row["n"] for row in card["rows"][:2]) == len(clips)
    assert limits.shape == (len(TRACES),)


def test_the_limits_refuse_their_share_of_unaltered_clips():
    clips, bank, altered = material(12)
    _, card = fit_and_measure([BLANK.unfitted() for _ in FOLDS], bank, altered, clips)
    real, fake = card["rows"][:2]
    for trace in TRACES:
        share = (real["n"] * real[trace] + fake["n"] * fake[trace]) / len(clips)
        assert share == pytest.approx(REFUSED, abs=1.5 / len(clips))


def test_clips_that_are_held_out_have_no_part_in_the_fit():
    clips, bank, altered = material()
    training, test = split(clips, FOLDS[0])
    one, two = BLANK.unfitted(), BLANK.unfitted()
    fit_traces(one, bank, altered, training)
    held = {c.clip for c in test}
    spoiled = [Bank(b.clip, b.view, b.samples, {k: np.where(np.isin(b.clip, list(held))[:, None], np.float16(9), v)
                                                for k, v in b.vectors.items()}) for b in (bank, altered)]
    fit_traces(two, *spoiled, training)
    for name in TRACES:
        assert torch.equal(one.traces[name].weight, two.traces[name].weight)


def test_a_clips_score_is_the_mean_of_its_windows_by_length():
    clips, bank, altered = material()
    panel = BLANK.unfitted()
    fit_traces(panel, bank, altered, clips)
    rows = np.flatnonzero(bank.clip == clips[0].clip)
    longer = Bank(bank.clip, bank.view, np.where(np.arange(len(bank.clip)) == rows[0], 3, 1), bank.vectors)
    x = torch.from_numpy(together(bank, rows))
    each = torch.stack([panel.traces[t](x) for t in TRACES], 1).numpy()
    names, kinds, scores = trace_scores(panel, longer, rows)
    assert names.tolist() == [clips[0].clip] and kinds.tolist() == [0]
    assert np.allclose(scores[0], (3 * each[0] + each[1]) / 4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 30), st.integers(0, 99))
def test_groups_take_turns_and_a_larger_draw_holds_the_smaller(sizes, n, seed):
    clips = [clip(f"{s}-{i}", "spoof", "src", f"system{s}") for s, size in enumerate(sizes) for i in range(size)]
    drawn = by_turns(clips, n, np.random.default_rng(seed))
    assert len(drawn) == len(set(drawn)) == min(n, len(clips))
    counts = [sum(c.system == f"system{s}" for c in drawn) for s in range(len(sizes))]
    for s, size in enumerate(sizes):  # who has fewer than another has none left, or waits for its turn
        assert counts[s] == size or counts[s] >= max(counts) - 1
    assert set(drawn) <= set(by_turns(clips, n + 5, np.random.default_rng(seed)))


def test_the_network_has_no_part_in_the_traces(tmp_path):
    clips, bank, altered = material()
    panel = BLANK.unfitted()
    fit_traces(panel, bank, altered, clips)
    wav = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    quiet = recognisers_alone(panel)
    assert not quiet.listens and torch.allclose(panel(wav).traces, quiet(wav).traces, atol=1e-6)
    save_panel(panel, tmp_path / "panel.safetensors")
    assert torch.allclose(load_panel(tmp_path / "panel.safetensors")(wav).traces, panel(wav).traces, atol=1e-6)
    sound = wav[0].numpy()
    mine = panel(wav).traces[0].numpy()
    for each in (panel, quiet):
        assert bears_traces(each, sound, mine - 0.01) and not bears_traces(each, sound, mine + 0.01)


@pytest.mark.parametrize(("kind", "change"), [(k, c) for k, _, c in KINDS])
def test_every_kind_alters_speech_like_sound_and_keeps_it_finite(kind, change):
    if kind.startswith("WORLD"):
        pytest.importorskip("pyworld", reason="pyworld belongs to training")
    t = np.arange(32_000) / 16_000
    sound = sum(np.sin(2 * np.pi * k * 130 * t) / k for k in range(1, 40)) * (1 + np.sin(2 * np.pi * 4 * t))
    sound = (0.1 * sound + 1e-3 * np.random.default_rng(1).standard_normal(len(t))).astype(np.float32)
    once, again = (np.asarray(change(sound, np.random.default_rng(3)))[:30_000] for _ in range(2))
    assert np.isfinite(once).all() and np.array_equal(once, again)
    assert np.abs(once - sound[: len(once)]).max() > 1e-4


def test_rows_of_the_checks_follow_the_limits():
    reference = {"trace_limits": np.array([0.5, 0.0, -0.5])}
    rows = _trace_rows(dict(zip(TRACES, (0.4, 0.1, -0.6), strict=True)), reference)
    assert [row.fatal for row in rows] == [False, True, False]
    assert [row.state for row in rows] == ["passed", "failed", "passed"]
    assert _trace_rows({}, reference) == () == _trace_rows(dict.fromkeys(TRACES, 0.0), {})
    for name in TRACES:
        assert name in TRACE_WORDS and name in _REASONS and name in _NEXT
