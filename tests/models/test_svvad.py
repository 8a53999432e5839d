"""SVVAD's known answers: the identity gate, what gets a gradient, enrolments, files."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.registry import WEIGHTS
from models.speaker import SpeakerEncoder, fbank, statistics
from models.svvad import STEP, Svvad, film, load_svvad, save_svvad

SHIPPED = WEIGHTS / "svvad-tiny"


def _features(b: int = 1, t: int = 100, seed: int = 0) -> torch.Tensor:
    return 10 + 2 * torch.randn(b, t, 80, generator=torch.Generator().manual_seed(seed))


def _embedding(b: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(b, 192, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(scope="module")
def model() -> Svvad:
    return Svvad.tiny()


def test_an_open_gate_gives_the_raw_score_to_the_bit():
    encoder, x = SpeakerEncoder.tiny(), _features(2)
    opened = film(x, torch.ones(2, 100), torch.zeros(2, 100))
    assert torch.equal(opened, x)
    assert torch.equal(encoder(opened), encoder(x))


def test_a_closed_gate_leaves_the_shift_alone():
    beta = torch.randn(2, 100, generator=torch.Generator().manual_seed(2))
    assert torch.equal(film(_features(2), torch.zeros(2, 100), beta), beta.unsqueeze(2).expand(-1, -1, 80))


@given(st.integers(100, 300))
@settings(max_examples=8, deadline=None)
def test_there_is_one_decision_per_frame_whatever_the_length(t):
    gamma, beta = Svvad.tiny()(_embedding(2), _features(2, t))
    assert gamma.shape == beta.shape == (2, t)
    assert gamma.min() >= 0 and gamma.max() <= 1


def test_features_of_another_width_are_refused(model):
    with pytest.raises(ValueError, match="80"):
        model(_embedding(), torch.zeros(1, 100, 40))


def test_the_frozen_encoder_gets_no_gradient_and_the_gate_does(model):
    encoder = SpeakerEncoder.tiny().requires_grad_(False)
    gate, x = Svvad.tiny(), _features()
    gamma, beta = gate(_embedding(), x)
    gamma.retain_grad()
    (1 - encoder(film(x, gamma, beta)) @ _embedding()[0]).sum().backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert gamma.grad.abs().sum() > 0
    assert gate.gamma.weight.grad.abs().sum() > 0 and gate.beta.weight.grad.abs().sum() > 0


def test_rows_of_a_batch_do_not_hear_each_other(model):
    x, e = _features(3), _embedding(3)
    together = model(e, x)
    for i in range(3):
        alone = model(e[i : i + 1], x[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, atol=1e-5, rtol=1e-5)


def test_what_does_not_depend_on_the_enrolment_is_computed_once(model):
    x, e = _features(), _embedding()
    values, voices = model.hear(x)
    for a, b in zip(model.decide(e, model.states(values, voices), voices, 100), model(e, x), strict=True):
        assert torch.equal(a, b)


def test_another_enrolment_is_another_gate(model):
    x = _features()
    assert not torch.equal(model(_embedding(seed=1), x)[0], model(_embedding(seed=2), x)[0])


def test_the_header_starts_as_the_encoder_and_stays_as_it_is():
    encoder, gate = SpeakerEncoder.tiny(5), Svvad.tiny()
    gate.start_from(encoder)
    values, voices = gate.hear(_features())
    assert torch.equal(values, encoder.values(_features()))
    torch.testing.assert_close(voices.norm(dim=2), torch.ones(1, 25))
    assert not any(p.requires_grad for p in gate.header.parameters()) and not gate.header.training


def test_the_voice_around_a_frame_is_the_embedding_of_what_is_around_it():
    encoder = SpeakerEncoder.tiny(5)
    values = encoder.values(_features())  # (1, 16, 50)
    near = values[..., 8:33]
    pooled = statistics(near.transpose(1, 2), encoder.attention(near).transpose(1, 2))
    torch.testing.assert_close(encoder.around(values, 12)[:, 20], encoder.from_statistics(*pooled), atol=1e-3, rtol=1e-3)


def test_untrained_the_gate_is_the_likeness_to_the_enrolment_and_never_fully_open_or_shut():
    gate = Svvad(Svvad.tiny().config)
    gate.start_from(SpeakerEncoder.tiny(5))
    x, e = _features(), _embedding()
    voices = gate.hear(x)[1]
    likeness = gate.likeness(e, voices)[..., 0].repeat_interleave(STEP, 1)
    gamma, beta = gate(e, x)
    assert beta.abs().max() == 0 and 0.006 < gamma.min() < gamma.max() < 0.994
    highest, lowest = likeness.argmax(), likeness.argmin()
    assert gamma[0, highest] > gamma[0, lowest]


def test_files_come_back_in_half_precision(model, tmp_path):
    save_svvad(model, tmp_path)
    again = load_svvad(tmp_path)
    assert again.config == model.config and not any(p.requires_grad for p in again.parameters())
    x, e = _features(), _embedding()
    torch.testing.assert_close(again(e, x)[0], model(e, x)[0], atol=0.01, rtol=0)


def test_another_networks_file_is_refused(tmp_path):
    from models.speaker import save_speaker

    save_speaker(SpeakerEncoder.tiny(), tmp_path)
    with pytest.raises(ValueError, match="SVVAD"):
        load_svvad(tmp_path)


def test_swapping_the_enrolment_swaps_the_selected_segments(two_voices):
    """Two people of the bundled examples by turns; each is enrolled in turn by another stretch of theirs."""
    from models.speaker import load_speaker

    first, second = two_voices
    encoder, gate = load_speaker(WEIGHTS / "speaker-cam-tiny"), load_svvad(SHIPPED)
    half = [len(x) // 2 for x in (first, second)]
    mixed = fbank(torch.cat([first[half[0] :], second[half[1] :]])[None])
    owner = torch.arange(mixed.shape[1]) * 160 < len(first) - half[0]
    means = []
    with torch.inference_mode():
        for voice, n in zip((first, second), half, strict=True):
            gamma = gate(encoder(fbank(voice[None, :n])), mixed)[0][0]
            means.append((gamma[owner].mean() - gamma[~owner].mean()).item())
    assert means[0] > 0.1 and means[1] < -0.1
