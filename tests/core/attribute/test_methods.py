"""Methods on models whose attribution is known: linear, one band, a dead input, two writings of one function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.attribute.baselines import BASELINES, make_baseline
from core.attribute.methods import METHODS
from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.audio import read_recording
from tests import known_models as known
from tests.factories import sound_bytes, voiced

GRADIENTS = ("integrated-gradients", "smooth-gradients", "gradient-shap")


@pytest.fixture(scope="module")
def recording():
    return read_recording(sound_bytes(voiced(2.0, seed=3)), "voice.wav")


def ask(recording, scorer, plane="log-mel", target="clip", span=None):
    return pose(recording, scorer, Question(target, span, plane))


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_linear_model_gets_its_weights_times_the_difference(recording, baseline):
    scorer = known.linear()
    posed = ask(recording, scorer)
    problem = posed.problems[0]
    difference = (problem.x - make_baseline(problem, baseline))[0]
    expected = (scorer.weights[:, : difference.shape[1]] * difference).numpy()
    found = compute(posed, "integrated-gradients", baseline)
    assert np.abs(found.values - expected).max() < 1e-5
    shap = compute(posed, "gradient-shap", baseline, parameters={"noise": 0.0})
    assert np.abs(shap.values - expected).max() < 1e-5


@settings(max_examples=5)
@given(seed=st.integers(0, 1_000), patch=st.integers(3, 12))
def test_occlusion_of_a_linear_model_is_the_patch_sum(seed, patch):
    scorer = known.linear(seed)
    rec = read_recording(sound_bytes(voiced(0.6, seed=seed)), "a.wav")
    posed = ask(rec, scorer)
    problem = posed.problems[0]
    found = compute(posed, "occlusion", "silence", parameters={"patch_rows": 8, "patch_columns": patch})
    exact = scorer.weights[:, : problem.x.shape[-1]] * (problem.x - make_baseline(problem, "silence"))[0]
    assert found.values[:8, :patch].sum() == pytest.approx(float(exact[:8, :patch].sum()), abs=1e-4)
    assert found.values.sum() == pytest.approx(float(exact.sum()), abs=1e-3), "patches tile the plane"


@pytest.mark.parametrize("scorer", [known.one_band(), known.convolutional(), known.artefact()], ids=lambda s: s.name)
@pytest.mark.parametrize("baseline", BASELINES)
def test_integrated_gradients_add_up_to_the_gap_within_one_per_cent(recording, scorer, baseline):
    found = compute(ask(recording, scorer), "integrated-gradients", baseline)
    assert found.error < 0.01
    assert found.values.sum() == pytest.approx(found.score - found.baseline_score, rel=0.011)


@pytest.mark.parametrize("method", [*GRADIENTS, "occlusion"])
def test_what_the_network_does_not_see_gets_nothing(recording, method):
    found = compute(ask(recording, known.one_band(32, 40)), method, "mean-bonafide")
    seen = np.zeros(80, bool)
    seen[32:40] = True
    assert np.abs(found.values[~seen]).max() == 0.0
    assert np.abs(found.values[seen]).sum() > 0


@pytest.mark.parametrize("method", GRADIENTS)
def test_two_writings_of_one_function_get_one_map(recording, method):
    one = known.KnownScorer(lambda m: torch.tanh(m[:, 10:20]).mean((1, 2)))
    other = known.KnownScorer(lambda m: (1.0 - 2.0 / (torch.exp(2.0 * m[:, 10:20]) + 1.0)).mean((1, 2)))
    a, b = (compute(ask(recording, s), method, "silence").values for s in (one, other))
    assert np.abs(a - b).max() < 1e-6


@pytest.mark.parametrize("plane", ["spectrum", "waveform"])
def test_a_linear_score_of_the_sound_is_explained_exactly_on_every_plane(recording, plane):
    weights = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    scorer = known.linear()
    scorer.clip_of_wav = lambda wav: (wav * weights).sum(1)
    found = compute(ask(recording, scorer, plane), "integrated-gradients", "silence")
    exact = float((torch.from_numpy(np.array(recording.samples)) * weights[0]).sum())
    assert found.values.sum() == pytest.approx(exact, rel=1e-3) and found.error < 1e-3
    if plane == "waveform":
        sums = (torch.from_numpy(np.array(recording.samples)) * weights[0]).view(-1, 160).sum(1).numpy()
        assert np.abs(found.values[0] - sums).max() < 1e-4


def test_the_methods_equal_captums_where_nothing_is_random(recording):
    from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel

    posed = ask(recording, known.convolutional())
    problem = posed.problems[0]
    start = make_baseline(problem, "silence")
    plain = IntegratedGradients(problem.score).attribute(problem.x, start, n_steps=12)[0].numpy()
    tunnel = NoiseTunnel(IntegratedGradients(problem.score)).attribute(
        problem.x, nt_samples=2, stdevs=0.0, baselines=start, n_steps=12)[0].detach().numpy()
    smooth = compute(posed, "smooth-gradients", "silence", parameters={"noise": 0.0, "copies": 2})
    assert np.abs(smooth.values - plain).max() < 1e-6 and np.abs(smooth.values - tunnel).max() < 1e-6
    linear = ask(recording, known.linear())
    theirs = GradientShap(linear.problems[0].score).attribute(linear.problems[0].x, start, n_samples=4)[0].numpy()
    ours = compute(linear, "gradient-shap", "silence", parameters={"noise": 0.0}).values
    assert np.abs(theirs - ours).max() < 1e-5


def test_grad_cam_has_the_shape_of_the_map_and_needs_feature_maps(recording):
    found = compute(ask(recording, known.convolutional()), "grad-cam")
    assert found.values.shape == (80, 200) and np.abs(found.values).sum() == pytest.approx(1.0, abs=1e-4)
    assert found.values[:, 0].std() > 0, "a two-dimensional convolution has a frequency axis"
    from core.errors import InvalidOption

    with pytest.raises(InvalidOption, match="no convolutional feature maps"):
        compute(ask(recording, known.linear()), "grad-cam")


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_model_without_gradients_says_so_and_occlusion_still_works(recording, method):
    from core.errors import InvalidOption

    stubborn = known.KnownScorer(lambda mel: known.one_band().score(mel.detach()))
    with pytest.raises(InvalidOption, match="needs gradients"):
        compute(ask(recording, stubborn), method)
    assert np.abs(compute(ask(recording, stubborn), "occlusion").values).sum() > 0


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_one_map_another_seed_another_noise(recording, method):
    posed = ask(recording, known.convolutional())
    a, b, c = (compute(posed, method, "silence", seed=s).values for s in (5, 5, 6))
    assert np.array_equal(a, b)
    assert np.array_equal(a, c) == (method not in ("smooth-gradients", "gradient-shap"))


def test_maps_leave_the_process_wide_random_numbers_alone(recording):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - it is this state that must stay
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for method in METHODS:
        compute(ask(recording, known.convolutional()), method, "mean-bonafide")
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
