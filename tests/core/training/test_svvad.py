"""SVVAD's training: the losses' known answers, mixtures that know who speaks, no label in any loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidOption
from core.training.corpus import write_views
from core.training.speaker_data import Voice
from core.training.speaker_trials import Side
from core.training.svvad import (
    LOSSES,
    Heard,
    SvvadRecipe,
    ablated,
    checked_auc,
    hear,
    losses,
    total_variation,
    train,
    triplet,
)
from core.training.svvad_evaluate import chosen, frame_auc, score
from core.training.svvad_evaluate import test_of as recording_of
from core.training.svvad_mix import OTHER, SILENCE, TARGET, MixStream, active, halves_of, mix, overlapped, turns
from models.silero import Silero
from models.speaker import SpeakerEncoder
from models.svvad import Svvad, SvvadConfig


def _speaker(seed: int):
    rng = np.random.default_rng(seed)
    return lambda n: 0.1 * rng.standard_normal(n).astype(np.float32)


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> MixStream:
    folder, voices, rng = tmp_path_factory.mktemp("voices"), [], np.random.default_rng(0)
    for i in range(9):
        write_views(folder / f"{i}.npy", 0.1 * rng.standard_normal((1, 48_000)))
        voices.append(Voice(str(i), str(folder / f"{i}.npy"), f"s{i}", "x", "bonafide", "train", 3.0, "CC0"))
    return MixStream(voices, halves_of(SpeakerEncoder.tiny(), voices), batch=4, seconds=1.5, absent=0.3, seed=0)


@pytest.fixture(scope="module")
def heard(stream) -> Heard:
    return hear(_gate(), stream.batch(np.random.default_rng(3)))


def _gate() -> Svvad:
    gate = Svvad.tiny()
    gate.start_from(SpeakerEncoder.tiny())
    return gate


# ---- losses ------------------------------------------------------------------------------------------------------


def test_the_triplets_gradient_is_the_analytic_one():
    """d/dp [m + c(n) - cos(a, p)]+ = -(a - (a . u) u) / |p| with u = p / |p| where active, 0 where not."""
    g = torch.Generator().manual_seed(0)
    a, p = (torch.randn(192, generator=g, dtype=torch.float64) for _ in range(2))
    a = a / a.norm()
    p.requires_grad_()
    cosine = (a * p).sum() / p.norm()
    triplet(cosine, torch.tensor(0.5, dtype=torch.float64), 0.2).backward()
    u = p.detach() / p.detach().norm()
    torch.testing.assert_close(p.grad, -(a - (a @ u) * u) / p.detach().norm())
    assert abs(float(p.grad @ u)) < 1e-12
    p.grad = None
    triplet((a * p).sum() / p.norm(), torch.tensor(-2.0, dtype=torch.float64), 0.2).backward()
    assert p.grad.abs().sum() == 0


def test_total_variation():
    assert total_variation(torch.full((2, 50), 0.3)).item() == 0
    assert total_variation(torch.tensor([[0.0, 1.0, 0.0]])).item() == 1


WAYS = (1, SvvadRecipe().film_every)  # a step through the pooling, one through the features


def test_no_loss_looks_at_the_truth(heard):
    encoder = SpeakerEncoder.tiny()
    blind = replace(heard, batch=replace(heard.batch, truth=torch.zeros_like(heard.batch.truth)))
    for step in WAYS:
        first, second = (losses(_gate(), encoder, given, SvvadRecipe(), step) for given in (heard, blind))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_even_gate_does_not_beat_no_gate(heard):
    """However far open: in the pooling only the ratio of frames counts."""
    encoder, gate = SpeakerEncoder.tiny(), _gate()
    for part in (gate.gamma.weight, gate.beta.weight, gate.gain):
        torch.nn.init.zeros_(part)
    recipe = SvvadRecipe(keep=0.0, reject=0.0, absent=0.0)
    for level in (-2.0, 2.0):
        torch.nn.init.constant_(gate.gamma.bias, level)
        found = losses(gate, encoder, heard, recipe, 1)
        assert found["beat"].item() == pytest.approx(recipe.beat * recipe.margin, abs=1e-3)
        assert found["rest"].item() == pytest.approx(0, abs=1e-5)


def test_every_loss_teaches_the_gate_and_none_the_encoder(heard):
    encoder = SpeakerEncoder.tiny().requires_grad_(False)
    for name in LOSSES:
        gate = _gate()
        recipe = replace(ablated(f"only-{name}"), variation=0.0, shift=0.0, silence=0.0, margin=2.0)
        for step in WAYS:
            found = losses(gate, encoder, heard, recipe, step)
            assert set(found) == {name, "rest"}
            sum(found.values()).backward()
        assert name == "absent" or gate.gamma.weight.grad.abs().sum() > 0
        assert all(p.grad is None for p in gate.header.parameters())
    assert all(p.grad is None for p in encoder.parameters())


def test_the_logs_auc_reads_the_truth(heard):
    gate = _gate()
    gamma = gate.decide(heard.batch.enrolment, gate.states(heard.values.float(), heard.voices.float()),
                        heard.voices.float(), heard.batch.truth.shape[1])[0]
    told = replace(heard, batch=replace(heard.batch, truth=torch.where(gamma > gamma.median(), TARGET, OTHER)))
    assert checked_auc(gate, [told]) == 1


def test_ablations_have_names():
    assert ablated("") == SvvadRecipe()
    assert ablated("reject").reject == 0 and ablated("reject").keep > 0
    assert ablated("only-beat").keep == 0 and ablated("only-beat").beat > 0
    assert ablated("nothing").steps == ablated("reject").steps < SvvadRecipe().steps
    with pytest.raises(InvalidOption):
        ablated("truth")


# ---- mixtures ----------------------------------------------------------------------------------------------------


def test_a_frame_is_active_where_the_voice_is():
    x = np.zeros(16_000, np.float32)
    x[8_000:] = _speaker(0)(8_000)
    found = active(x)
    assert len(found) == 100 and not found[:48].any() and found[52:].all()
    assert not active(np.zeros(1_600, np.float32)).any()


@given(st.floats(0.0, 0.9), st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_turns_give_others_their_share(share, seed):
    ours, theirs = turns(64_000, share, _speaker(1), [_speaker(2), _speaker(3)], np.random.default_rng(seed))
    assert not (ours.astype(bool) & theirs.astype(bool)).any()
    assert np.count_nonzero(theirs) / 64_000 == pytest.approx(share, abs=0.02)


def test_overlap_leaves_the_target_throughout():
    ours, theirs = overlapped(64_000, _speaker(1), _speaker(2), np.random.default_rng(0))
    assert np.count_nonzero(ours) > 63_900 and 0.25 < np.count_nonzero(theirs) / 64_000 <= 1


@given(st.integers(0, 1_000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_mixture_knows_its_frames(seed, present):
    mixture = mix(48_000, _speaker(1) if present else None, [_speaker(2)], np.random.default_rng(seed))
    assert mixture.wav.shape == (48_000,) and mixture.truth.shape == (300,)
    assert np.isfinite(mixture.wav).all() and set(np.unique(mixture.truth)) <= {SILENCE, TARGET, OTHER}
    assert present or not (mixture.truth == TARGET).any()


def test_enrolment_and_mixture_come_from_different_halves(stream):
    batch = stream.batch(np.random.default_rng(1))
    assert batch.wav.shape == (4, 24_000) and batch.truth.shape == (4, 150)
    for enrolment, target in zip(batch.enrolment.numpy(), batch.target.numpy(), strict=True):
        voice, version, half = np.argwhere((stream.halves == enrolment).all(3))[0]
        np.testing.assert_array_equal(stream.halves[voice, version, 1 - half], target)


# ---- measuring ---------------------------------------------------------------------------------------------------


def _sides() -> list[Side]:
    return [Side(f"s{i}", "kind", (str(i),), _speaker(i)(64_000)) for i in range(5)]


def test_the_target_speaks_as_long_whatever_the_share():
    for share in (0.0, 0.4, 0.8):
        test = recording_of(0, share, _sides(), {"s1"})
        spoken = (test.truth == TARGET).sum() / 100
        assert spoken == pytest.approx(3.0, abs=0.1)
        assert len(test.wav) / 16_000 == pytest.approx(3.0 / (1 - share), abs=0.01)
        np.testing.assert_array_equal(test.wav, recording_of(0, share, _sides(), {"s1"}).wav)


def test_every_method_scores_a_trial_and_knowing_all_is_hearing_all():
    tests = [replace(recording_of(i, 0.0, _sides(), set()), truth=np.full(300, truth))
             for i, truth in ((0, TARGET), (1, OTHER))]
    gates = {"svvad": _gate(), "other": _gate()}
    found, gammas = score(gates, SpeakerEncoder.tiny(), Silero().eval(), torch.ones(2, 192) / 192**0.5, tests)
    assert set(found) == {"raw", "energy", "silero", "svvad", "weighted", "film", "known", "other"}
    assert gammas["svvad"].shape == (2, 300) and np.array_equal(found["svvad"], found["other"])
    assert found["known"][0] == found["raw"][0] and found["known"][1] == -1


def test_frame_auc_of_a_perfect_and_of_a_blind_gate():
    truth = np.array([TARGET, OTHER, SILENCE] * 50)
    perfect = frame_auc([(s, (truth == TARGET).astype(float), truth) for s in "abc"], n=20)
    assert perfect["against_others"]["value"] == perfect["against_all_else"]["low"] == 1
    assert frame_auc([(s, np.full(150, 0.5), truth) for s in "abc"], n=20)["against_others"]["value"] == 0.5


def test_a_part_of_the_trials_keeps_both_sorts():
    from core.training.speaker_trials import trials

    listed = chosen(trials(_sides() + _sides()))
    assert listed.same.any() and not listed.same.all()


# ---- going on ----------------------------------------------------------------------------------------------------


def test_an_interrupted_training_goes_on_where_it_stopped(stream, tmp_path):
    encoder = SpeakerEncoder.tiny()
    short = SvvadRecipe(steps=3, mixtures=2, batch=2, seconds=1.5, film_every=2)

    config = SvvadConfig(encoder.config, 8, 1, 2, 5, 1)
    first, again = (train(encoder, stream.voices, stream.halves, tmp_path, short, config=config, workers=0,
                          say=lambda text: None) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert torch.equal(first.header.trunk.tdnn.linear.weight, encoder.trunk.tdnn.linear.weight)
    assert first.beta.weight.abs().sum() > 0  # it starts at 0
