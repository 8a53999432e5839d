"""Laws of the speaker encoder: what the front end says of silence and level, what weights do, that files come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.speaker import SpeakerConfig, SpeakerEncoder, centre, fbank, load_speaker, save_speaker, statistics
from models.speaker_campplus import CamPlusPlus, load_campplus


def _noise(n: int, seed: int = 0, b: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(b, n, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder.tiny()


@given(st.integers(600, 5_000))
@settings(max_examples=15, deadline=None)
def test_frames_are_ten_milliseconds_apart(n):
    assert fbank(_noise(n)).shape == (1, n // 160, 80)


def test_digital_silence_is_zero_and_nothing_is_below():
    wav = torch.cat([torch.zeros(1, 3_200), _noise(3_200)], 1)
    features = fbank(wav)
    assert features.min() >= 0
    assert features[:, :15].abs().max() == 0
    assert features[:, 25:].min() > 1


def test_a_click_is_loudest_in_the_frame_centred_on_it():
    wav = torch.zeros(1, 8_000)
    wav[0, 20 * 160] = 0.5
    assert int(fbank(wav)[0].sum(1).argmax()) == 20


def test_a_tone_lies_in_the_band_of_its_frequency():
    t = torch.arange(8_000) / 16_000
    bands = [int(fbank(torch.sin(2 * torch.pi * hz * t)[None])[0, 25].argmax()) for hz in (200, 800, 3_000, 7_000)]
    assert bands == sorted(set(bands))


def test_gradients_reach_the_samples():
    wav = _noise(3_200).requires_grad_()
    fbank(wav).sum().backward()
    assert torch.isfinite(wav.grad).all() and wav.grad.abs().sum() > 0


def test_level_and_colour_are_taken_off(encoder):
    wav = _noise(16_000)
    assert torch.cosine_similarity(encoder(fbank(wav)), encoder(fbank(0.25 * wav))).item() == pytest.approx(1, abs=1e-3)


def test_silence_has_next_to_no_say_in_what_is_taken_off():
    features = 10 + torch.randn(1, 100, 80, generator=torch.Generator().manual_seed(1))
    longer = torch.cat([features, torch.zeros(1, 900, 80)], 1)
    torch.testing.assert_close(centre(longer)[:, :100], centre(features), atol=0.01, rtol=0)


def test_embeddings_have_length_one_and_the_promised_width(encoder):
    out = encoder(fbank(_noise(16_000, b=3)))
    assert out.shape == (3, encoder.width) == (3, 192)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))


def test_weights_of_one_change_nothing_to_the_bit(encoder):
    features = fbank(_noise(16_000, b=2))
    assert torch.equal(encoder(features), encoder(features, torch.ones(features.shape[:2])))


@given(st.floats(0.01, 100.0))
@settings(max_examples=10, deadline=None)
def test_the_scale_of_the_weights_does_not_matter(factor):
    encoder, features = SpeakerEncoder.tiny(), fbank(_noise(8_000))
    weights = torch.rand(features.shape[:2], generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(encoder(features, factor * weights), encoder(features, weights), atol=1e-4, rtol=1e-4)


def test_pooling_does_not_see_the_order_of_frames():
    g = torch.Generator().manual_seed(3)
    values, logits, weights = torch.randn(1, 30, 4, generator=g), torch.randn(1, 30, 1, generator=g), torch.rand(1, 30)
    order = torch.randperm(30, generator=g)
    shuffled = statistics(values[:, order], logits[:, order], weights[:, order])
    for a, b in zip(statistics(values, logits, weights), shuffled, strict=True):
        torch.testing.assert_close(a, b)


def test_a_frame_of_weight_zero_is_as_good_as_absent():
    g = torch.Generator().manual_seed(4)
    values, logits = torch.randn(1, 30, 4, generator=g), torch.randn(1, 30, 1, generator=g)
    weights = (torch.arange(30) < 20).float()[None]
    for a, b in zip(statistics(values, logits, weights), statistics(values[:, :20], logits[:, :20]), strict=True):
        torch.testing.assert_close(a, b)


def test_a_weight_of_two_is_the_frame_twice():
    g = torch.Generator().manual_seed(5)
    values, logits = torch.randn(1, 10, 4, generator=g), torch.randn(1, 10, 1, generator=g)
    weights = torch.ones(1, 10)
    weights[0, 3] = 2
    again = [torch.cat([x, x[:, 3:4]], 1) for x in (values, logits)]
    for a, b in zip(statistics(values, logits, weights), statistics(*again), strict=True):
        torch.testing.assert_close(a, b)


def test_statistics_are_mean_and_deviation_where_attention_is_even():
    values = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(6))
    mean, deviation = statistics(values, torch.zeros(2, 50, 1))
    torch.testing.assert_close(mean, values.mean(1))
    torch.testing.assert_close(deviation, values.std(1, correction=0))


def test_the_parts_make_the_whole(encoder):
    features = fbank(_noise(16_000))
    weights = torch.rand(features.shape[:2], generator=torch.Generator().manual_seed(7))
    values, logits = encoder.frames(features)
    assert values.shape[:2] == logits.shape[:2] == features.shape[:2]
    assert torch.equal(encoder.from_statistics(*statistics(values, logits, weights)), encoder(features, weights))


def test_files_come_back_in_half_precision(encoder, tmp_path):
    save_speaker(encoder, tmp_path)
    again = load_speaker(tmp_path)
    assert again.config == encoder.config and not any(p.requires_grad for p in again.parameters())
    features = fbank(_noise(16_000))
    assert torch.cosine_similarity(again(features), encoder(features)).item() > 0.999


def test_another_networks_file_is_refused(tmp_path):
    from models.svvad import Svvad, save_svvad

    save_svvad(Svvad.tiny(), tmp_path)
    with pytest.raises(ValueError, match="speaker encoder"):
        load_speaker(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_speaker(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def teacher() -> CamPlusPlus:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CamPlusPlus().eval()


def test_the_teacher_has_the_published_size_and_comes_back(teacher, tmp_path):
    published = sum(t.numel() for t in teacher.parameters())
    assert published == 6_848_544
    torch.save(teacher.state_dict(), tmp_path / "teacher.pt")
    features = fbank(_noise(8_000))
    assert torch.equal(load_campplus(tmp_path / "teacher.pt")(features), teacher(features))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"CAM\+\+"):
        load_campplus(tmp_path / "other.pt")


def test_a_pickle_that_is_more_than_tensors_is_not_opened(tmp_path):
    import pickle

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(np.random.default_rng))
    with pytest.raises(pickle.UnpicklingError):
        load_campplus(tmp_path / "evil.pt")


def test_an_encoder_as_wide_as_its_teacher_has_its_parts():
    wide = SpeakerEncoder(SpeakerConfig(bottleneck=128))
    with torch.random.fork_rng(devices=[]):
        theirs = {name.removeprefix("xvector."): value for name, value in CamPlusPlus().state_dict().items()}
    own = {name.removeprefix("trunk."): value for name, value in wide.state_dict().items()
           if not name.startswith(("attention", "out."))}
    assert {name: value.shape for name, value in own.items()} == {
        name: value.shape for name, value in theirs.items() if not name.startswith("dense")}


def test_values_are_as_wide_as_the_configuration_says(encoder):
    assert encoder.values(fbank(_noise(8_000))).shape == (1, encoder.config.values, 25)
    assert SpeakerConfig().values == 512
