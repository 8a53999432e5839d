"""Distilling the speaker encoder: who is held out, what the losses are worth, that trials keep their word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.training import speaker_sounds as sounds
from core.training.corpus import Clip, write_views
from core.training.speaker import (
    CropStream,
    SpeakerRecipe,
    centroids,
    hint_loss,
    margin_loss,
    one_stretch,
    relational_loss,
    train,
)
from core.training.speaker_checkpoint import one_cycle
from core.training.speaker_data import Voice, parts_of, samples, turns
from core.training.speaker_narrow import kept_units, start_narrow
from core.training.speaker_teacher import PER_VOICE, SPEEDS, at_speed, embed, fitted, speeds_of
from core.training.speaker_trials import Side, Trials, disturbed, eer_over_speakers, sides, trials
from models.speaker import SpeakerConfig, SpeakerEncoder, centre, fbank
from models.speaker_campplus import CamPlusPlus


def _clip(name: str, speaker: str, source: str, label: str = "bonafide") -> Clip:
    human = label == "bonafide"
    system, family = ("recording", "human") if human else ("tts-x", "tts")
    return Clip(name, f"{name}.flac", label, system, family, speaker, source, parent=name)


def _unit(n: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 192, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> list[Voice]:
    folder, made = tmp_path_factory.mktemp("voices"), []
    rng = np.random.default_rng(0)
    for i in range(12):
        path = folder / f"{i}.npy"
        write_views(path, 0.1 * rng.standard_normal((2, 64_000)))
        made.append(Voice(str(i), str(path), f"s{i // 3}", "somewhere/else", "bonafide", "train", 4.0, "CC0"))
    return made


# ---- who is held out ---------------------------------------------------------------------------------------------


def test_no_speaker_is_on_both_sides():
    clips = [_clip("a", "ann", "e1tts/e1tts.github.io"), _clip("b", "ann", "x/y"), _clip("c", "bob", "x/y"),
             _clip("d", "ann", "x/y", "spoof"), _clip("e", "", "e1tts/e1tts.github.io", "spoof")]
    train, held = parts_of(clips)
    assert [c.clip for c in train] == ["c"]
    assert [c.clip for c in held] == ["a"]


def test_speakers_of_many_clips_are_held_out():
    clips = [_clip(f"m{i}", "many", "resemble-ai/Resemblyzer") for i in range(10)]
    train, held = parts_of([*clips, _clip("f", "few", "resemble-ai/Resemblyzer")])
    assert [c.clip for c in train] == ["f"] and len(held) == 10


def test_clips_of_packages_that_are_held_out_are_not_trained_on():
    train, held = parts_of([_clip("p", "x", "ktuberling-data"), _clip("q", "y", "x/y")])
    assert [c.clip for c in train] == ["q"] and not held


def test_turns_leave_out_what_two_say_at_once(tmp_path):
    rttm = tmp_path / "a.rttm"
    rows = (("ann", 0.0, 5.0), ("bob", 1.0, 1.0), ("bob", 4.0, 3.0))
    rttm.write_text("".join(f"SPEAKER r 1 {a} {d} <NA> <NA> {who} <NA> <NA>\n" for who, a, d in rows))
    assert turns(rttm) == [("r", "ann", 0.0, 1.0), ("r", "ann", 2.0, 4.0), ("r", "bob", 5.0, 7.0)]


# ---- the teacher's embeddings ------------------------------------------------------------------------------------


def test_the_speeds_of_a_voice_never_change(voices):
    for voice in voices:
        assert speeds_of(voice) == speeds_of(voice)
        assert speeds_of(voice)[0] == 1.0 and len(set(speeds_of(voice))) == 1 + PER_VOICE


@given(st.sampled_from(SPEEDS))
def test_faster_is_shorter(speed):
    assert len(at_speed(np.zeros(16_000, np.float32), speed)) == pytest.approx(16_000 / speed, abs=2)


def test_embeddings_come_in_the_order_of_the_sounds():
    rng, network = np.random.default_rng(0), SpeakerEncoder.tiny()
    given_sounds = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (24_000, 8_000, 16_000)]
    together = embed(network, given_sounds)
    alone = np.concatenate([embed(network, [x]) for x in given_sounds])
    np.testing.assert_allclose((together * alone).sum(1), 1, atol=0.02)
    assert len(fitted(given_sounds[1], 20_000)) == 20_000


# ---- starting from the teacher -----------------------------------------------------------------------------------


def _teacher() -> CamPlusPlus:
    """Random, its norms and activations stirred so that units differ."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = CamPlusPlus().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d) and module.affine:
            module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=generator))
    return network


def _features(n: int = 2) -> torch.Tensor:
    return fbank(0.1 * torch.randn(n, 16_000, generator=torch.Generator().manual_seed(4)))


def test_with_every_unit_kept_the_encoder_says_what_the_teacher_says():
    teacher, features = _teacher(), _features()
    encoder = SpeakerEncoder(SpeakerConfig(bottleneck=128)).eval()
    start_narrow(encoder, teacher, [features])
    with torch.no_grad():
        values = encoder.values(features)
        wanted = teacher.xvector[:-2](teacher.head(centre(features).transpose(1, 2)))
    # the rebuilding ridge leaves next to nothing behind, layer upon layer
    assert torch.nn.functional.mse_loss(values, wanted) < 0.01 * wanted.var()


def test_the_more_units_are_kept_the_nearer_to_the_teacher():
    teacher, features = _teacher(), _features()
    wanted = teacher.xvector[:-2](teacher.head(centre(features).transpose(1, 2)))
    errors = []
    for width in (8, 48, 112):
        encoder = SpeakerEncoder(SpeakerConfig(bottleneck=width)).eval()
        start_narrow(encoder, teacher, [features])
        with torch.no_grad():
            errors.append(torch.nn.functional.mse_loss(encoder.values(features), wanted).item())
    assert errors == sorted(errors, reverse=True)


@given(st.integers(2, 6), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_a_unit_that_repeats_another_is_not_kept(n, seed):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((n, 200)))
    doubled = torch.cat([x, x])  # rows i and n + i are the same
    kept = kept_units(doubled @ doubled.T, torch.ones(2 * n), n).tolist()
    assert sorted(k % n for k in kept) == list(range(n))


def test_a_unit_that_nothing_listens_to_goes_first():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 200)))
    leaving = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    assert kept_units(x @ x.T, leaving, 4).tolist() == [0, 2, 3, 4]


def test_an_interrupted_distillation_goes_on_where_it_stopped(voices, tmp_path):
    said = _unit(12 * (1 + PER_VOICE)).view(12, 1 + PER_VOICE, 192).numpy()
    recipe = SpeakerRecipe(cycles=(2,), seconds_per_batch=4.0, crops_s=(1.0,), heard_first=1)
    first, again = (train(_teacher(), voices, said, tmp_path, recipe, workers=0, say=lambda text: None)
                    for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


# ---- losses ------------------------------------------------------------------------------------------------------


def test_relations_are_kept_by_any_rotation():
    teacher = _unit(8)
    q = torch.linalg.qr(torch.randn(192, 192, generator=torch.Generator().manual_seed(1))).Q
    assert relational_loss(teacher @ q, teacher).item() == pytest.approx(0, abs=1e-10)
    assert relational_loss(_unit(8, 2), teacher).item() > 0


def test_the_margin_makes_the_task_harder_and_unnamed_rows_say_nothing():
    centres, student = _unit(5), _unit(5)
    named = torch.arange(5)
    assert margin_loss(student, centres, named, 0.2, 2.0) > margin_loss(student, centres, named, 0.0, 2.0)
    assert margin_loss(student, centres, torch.full((5,), -1), 0.2, 20.0).item() == 0
    some = torch.tensor([0, -1, 2, -1, -1])
    torch.testing.assert_close(margin_loss(student, centres, some, 0.2, 20.0),
                               margin_loss(student[[0, 2]], centres, some[[0, 2]], 0.2, 20.0))


@given(st.integers(30, 400), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_a_stretch_is_in_one_piece_and_as_long_as_it_should_be(n, seed):
    weights = one_stretch(5, n, (0.4, 1.0), np.random.default_rng(seed))
    assert weights.shape == (5, n) and set(weights.unique().tolist()) <= {0.0, 1.0}
    assert (weights.diff(dim=1) != 0).sum(1).max() <= 2  # one rise and one fall at most
    assert ((weights.sum(1) >= min(n, 40)) & (weights.sum(1) <= min(n, 100))).all()


def test_hints_have_no_units_and_are_zero_for_the_teacher_itself():
    x = [torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    other = [torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(9 + i)) for i in range(2)]
    assert hint_loss(x, x).item() == 0
    torch.testing.assert_close(hint_loss(other, x), hint_loss([5 * a for a in other], [5 * a for a in x]))


def test_crops_carry_the_target_of_their_own_voice_and_speed(voices):
    said = _unit(12 * (1 + PER_VOICE)).view(12, 1 + PER_VOICE, 192).numpy()
    centres, numbers = centroids(voices, said)
    assert centres.shape == (4, 192)
    recipe = SpeakerRecipe(seconds_per_batch=12.0, crops_s=(1.5,))
    batch = CropStream(voices, said, numbers, recipe).batch(np.random.default_rng(0))
    assert batch.wav.shape == (8, 24_000)
    for target, named in zip(batch.target, batch.named.tolist(), strict=True):
        i, version = np.argwhere((said == target.numpy()).all(2))[0]
        assert named == (numbers[voices[i].speaker] if version == 0 else -1)


# ---- sounds ------------------------------------------------------------------------------------------------------


@given(st.integers(800, 20_000), st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_what_is_put_behind_keeps_length_and_ratio(n, seed):
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal(n).astype(np.float32)
    for kind in ("noise", "music"):
        y = sounds.behind(x, rng, lambda: x, (10.0, 10.0), kind)
        assert len(y) == n
        assert 10 * np.log10(np.mean(x**2) / np.mean((y - x) ** 2)) == pytest.approx(10, abs=0.1)


def test_any_chain_keeps_length_and_stays_finite():
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal(24_000).astype(np.float32)
    for _ in range(25):
        y = sounds.disturb(x, rng, lambda: x)
        assert y.shape == x.shape and y.dtype == np.float32 and np.isfinite(y).all() and np.abs(y).max() <= 1


def test_muting_only_ever_turns_down():
    features = torch.rand(16, 100, 80) + 1
    muted = sounds.mute_stretches(features, np.random.default_rng(0), share=1.0)
    assert (muted <= features).all() and (muted == 0).any() and ((muted > 0).float().mean((1, 2)) >= 0.05).all()


# ---- trials ------------------------------------------------------------------------------------------------------


def _sides(n_speakers: int = 6, each: int = 4) -> list[Side]:
    rng = np.random.default_rng(0)
    return [Side(f"s{i}", "kind", (f"{i}-{k}",), 0.1 * rng.standard_normal(48_000).astype(np.float32))
            for i in range(n_speakers) for k in range(each)]


def test_short_clips_are_joined_and_no_recording_is_in_two_sides(voices):
    short = [Voice(**{**v.__dict__, "speaker": "one"}) for v in voices]
    made = sides(short)
    used = [name for side in made for name in side.recordings]
    assert len(used) == len(set(used))
    assert all(2.5 * 16_000 <= len(side.wav) <= 4 * 16_000 for side in made)


def test_trials_say_the_truth_and_stay_within_a_kind():
    given_sides = [*_sides(), Side("x", "other kind", ("x",), np.zeros(48_000, np.float32))]
    listed = trials(given_sides)
    for (a, b), same in zip(listed.pairs, listed.same, strict=True):
        assert (given_sides[a].speaker == given_sides[b].speaker) == same
        assert a != b and given_sides[a].kind == given_sides[b].kind
    assert listed.same.sum() == 6 * 6


def test_a_condition_disturbs_the_same_way_every_time(voices):
    given_sides = _sides(3, 1)
    for condition in ("clean", "noisy", "short"):
        first, second = (disturbed(given_sides[0], given_sides, condition) for _ in range(2))
        np.testing.assert_array_equal(first, second)
    assert len(disturbed(given_sides[0], given_sides, "short")) == 32_000


def test_equal_error_rates_of_known_scores():
    listed = trials(_sides())
    assert eer_over_speakers(np.where(listed.same, 1.0, 0.0), listed, n=50)[0].value == 0
    chance, draws = eer_over_speakers(np.random.default_rng(0).standard_normal(len(listed.pairs)), listed, n=200)
    assert chance.low < 0.5 < chance.high and len(draws) == 200
    alone = Trials(listed.pairs, listed.same, np.zeros_like(listed.speakers))
    assert eer_over_speakers(np.arange(len(listed.pairs), dtype=float), alone, n=20)[0].low == pytest.approx(
        eer_over_speakers(np.arange(len(listed.pairs), dtype=float), alone, n=20)[0].high)


def test_views_are_read_as_they_were_written(voices):
    assert samples(voices[0]).dtype == np.float32 and len(samples(voices[0], view=7)) == 64_000


def test_the_rate_goes_up_and_down_in_every_cycle():
    rates = [one_cycle(step, (100, 200)) for step in range(1, 301)]
    assert max(rates[:100]) == pytest.approx(1, abs=0.01) and rates[99] == pytest.approx(0)
    assert rates[100] < 0.1 and max(rates[100:]) == pytest.approx(1, abs=0.01) and rates[-1] == pytest.approx(0)
    assert all(0 <= rate <= 1 for rate in rates)
