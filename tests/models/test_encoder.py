"""The encoder contract: laws that hold for every family."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models import frontend
from models.encoder import (
    FAMILIES,
    EncoderUnavailable,
    FrameEncoder,
    build_encoder,
    load_encoder,
    tiny_config,
    tiny_encoder,
)

OWN = ("lfcc", "logmel")
EVERY = pytest.mark.parametrize("family", FAMILIES)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Seeded noise with a slow envelope, about speech level."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return 0.1 * x * (1.2 + torch.sin(torch.arange(shape[-1]) / 3000.0))


def adapted(encoder: FrameEncoder) -> list:
    """Register a hook that adds zero on every sub-layer; returns the handles."""
    modules = [m for layer in encoder.transformer_layers() for m in encoder.sublayer_outputs(layer)]
    return [m.register_forward_hook(lambda _m, _i, out: out + 0.0 * out) for m in modules]


@EVERY
def test_shapes_are_as_stated(family):
    encoder = tiny_encoder(family)
    with torch.inference_mode():
        for n in (64_000, 48_123, 16_000, 8_000):
            hidden = encoder(noise(2, n))
            assert hidden.shape == (2, encoder.n_layers, encoder.n_frames(n), encoder.n_features)
            assert hidden.isfinite().all() and hidden.dtype == torch.float32
    assert encoder.sample_rate == 16_000 and encoder.hop_s == encoder.hop / 16_000
    assert encoder.family == family


@EVERY
def test_a_frame_more_comes_with_a_hop_more(family):
    encoder = tiny_encoder(family)
    counts = [encoder.n_frames(n) for n in range(16_000, 16_000 + 4 * encoder.hop)]
    assert counts[-1] - counts[0] in (3, 4) and set(np.diff(counts)) <= {0, 1}
    changes = np.flatnonzero(np.diff(counts))
    assert (np.diff(changes) == encoder.hop).all()


@EVERY
def test_time_geometry_points_at_the_sound(family):
    """A change of the sound at a frame's centre moves that frame's first state more than frames further
    off."""
    encoder = tiny_encoder(family)
    wav = noise(1, 32_000)
    moved = wav.clone()
    frame = encoder.n_frames(32_000) // 2
    centre = round((encoder.start_s + frame * encoder.hop_s) * 16_000)
    reach = 80
    moved[:, centre - reach : centre + reach] += 0.5 * noise(1, 2 * reach, seed=5)
    encoder.normalise = False  # a whole-window statistic would move every frame
    with torch.inference_mode():
        change = (encoder(moved) - encoder(wav))[0, 0].square().sum(-1)
    positional = 16 // 2 + 1  # frames that wav2vec2's positional convolution reaches; the peak stays
    assert abs(int(change.argmax()) - frame) <= 1
    assert change[: max(0, frame - positional - 3)].sum() < 0.2 * change.sum()


@EVERY
def test_batch_size_does_not_matter(family):
    encoder, wav = tiny_encoder(family), noise(4, 32_000)
    with torch.inference_mode():
        together, alone = encoder(wav), torch.cat([encoder(row[None]) for row in wav])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@EVERY
def test_forward_is_features_then_the_rest(family):
    encoder, wav = tiny_encoder(family), noise(2, 20_000)
    with torch.inference_mode():
        assert torch.equal(encoder(wav), encoder.forward_features(encoder.features(wav)))


@EVERY
def test_masked_rows_are_what_they_are_alone(family):
    encoder = tiny_encoder(family)
    lengths, n = [32_000, 20_000, 25_010], 33_000
    wav, mask = noise(3, n), torch.arange(n)[None] < torch.tensor(lengths)[:, None]
    with torch.inference_mode():
        hidden = encoder(wav, mask)
        assert hidden.shape[2] == encoder.n_frames(n)
        for row, length in enumerate(lengths):
            alone = encoder(wav[row : row + 1, :length])[0]
            torch.testing.assert_close(hidden[row, :, : alone.shape[1]], alone, atol=2e-5, rtol=1e-4)


def test_masks_that_make_no_sense_are_refused():
    encoder, wav = tiny_encoder("whisper"), noise(1, 8_000)
    hole = torch.ones(1, 8_000, dtype=torch.bool)
    hole[:, 4_000:5_000] = False
    with pytest.raises(ValueError, match="end of a row"):
        encoder(wav, hole)
    with pytest.raises(ValueError, match="mask has shape"):
        encoder(wav, hole[:, :100])
    with pytest.raises(ValueError, match="too few"):
        encoder(wav, torch.arange(8_000)[None] < 100)


@EVERY
def test_too_short_and_misshapen_inputs_are_refused(family):
    encoder = tiny_encoder(family)
    with pytest.raises(ValueError, match="too few"):
        encoder(noise(1, 200))
    with pytest.raises(ValueError, match="waveform batch"):
        encoder(noise(16_000))


@pytest.mark.parametrize("family", ["whisper", "ast"])
def test_inputs_beyond_the_position_table_are_refused(family):
    with pytest.raises(ValueError, match="shorter windows"):
        tiny_encoder(family)(noise(1, 90_000))


@EVERY
def test_frozen_yet_gradients_reach_the_samples(family):
    for table in ("mel_filters", "linear_filters", "_window", "_dct"):
        getattr(frontend, table).cache_clear()
    with torch.inference_mode():  # a detector may well be used before it is explained
        tiny_encoder(family)(noise(1, 16_000))
    encoder, wav = tiny_encoder(family), noise(2, 16_000).requires_grad_()
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    encoder(wav)[:, -1].square().sum().backward()
    assert wav.grad.isfinite().all() and wav.grad.abs().sum() > 0
    assert all(p.grad is None for p in encoder.parameters())


@EVERY
def test_unfrozen_parameters_get_gradients(family):
    encoder = build_encoder(family, tiny_config(family), frozen=False).train()
    encoder(noise(2, 16_000))[:, -1].square().sum().backward()
    assert sum(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in encoder.parameters()) > 5


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in OWN])  # ours learn their standardisation
def test_training_mode_changes_nothing_while_frozen(family):
    """No dropout, layer drop or masking: hidden states are facts about the sound."""
    encoder, wav = tiny_encoder(family), noise(2, 16_000)
    with torch.no_grad():
        assert torch.equal(encoder(wav), encoder.train()(wav))


@EVERY
def test_hooks_that_add_zero_leave_every_bit(family):
    encoder, wav = tiny_encoder(family), noise(2, 24_000)
    with torch.inference_mode():
        before = encoder(wav)
        handles = adapted(encoder)
        assert torch.equal(before, encoder(wav))
    assert len(handles) == 2 * len(encoder.transformer_layers())


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in OWN])
def test_hooks_act_on_their_own_layer_and_those_after(family):
    encoder, wav = tiny_encoder(family), noise(1, 24_000)
    layers = encoder.transformer_layers()
    assert len(layers) == encoder.n_layers - 1
    for which in (0, 1):
        with torch.inference_mode():
            before = encoder(wav)
            seen = []

            def halve(_module, _inputs, output, seen=seen):
                seen.append(output.shape)
                return 0.5 * output

            handle = encoder.sublayer_outputs(layers[1])[which].register_forward_hook(halve)
            after = encoder(wav)
            handle.remove()
        assert len(seen) == 1 and seen[0][-1] == encoder.n_features
        assert torch.equal(before[:, :2], after[:, :2])
        assert not torch.allclose(before[:, 2], after[:, 2])


def test_cepstral_families_have_no_sublayers():
    with pytest.raises(LookupError, match="no Transformer"):
        tiny_encoder("lfcc").sublayer_outputs(torch.nn.Identity())


@EVERY
def test_config_rebuilds_the_network(family):
    encoder = tiny_encoder(family, seed=3)
    rebuilt = build_encoder(family, json.loads(json.dumps(encoder.config)))
    rebuilt.load_state_dict(encoder.state_dict())
    assert rebuilt.config == encoder.config and rebuilt.n_layers == encoder.n_layers
    wav = noise(1, 16_000)
    with torch.inference_mode():
        assert torch.equal(rebuilt(wav), encoder(wav))


@EVERY
def test_tiny_encoders_are_seeded_and_leave_the_generator_alone(family):
    state = torch.random.get_rng_state()
    first, again, other = tiny_encoder(family, 1), tiny_encoder(family, 1), tiny_encoder(family, 2)
    assert torch.equal(state, torch.random.get_rng_state())
    wav = noise(1, 8_000)
    with torch.inference_mode():
        assert torch.equal(first(wav), again(wav)) and not torch.equal(first(wav), other(wav))


def test_unknown_family_is_named():
    with pytest.raises(LookupError, match="'nope'"):
        build_encoder("nope", {})


def test_hub_ids_are_not_fetched_unasked(monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot(name, **options):
        asked.append(options)
        raise OSError("no such thing")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(EncoderUnavailable, match="not on this machine"):
        load_encoder("openai/whisper-tiny")
    with pytest.raises(EncoderUnavailable, match="could not be downloaded"):
        load_encoder("openai/whisper-tiny", allow_download=True)
    assert [options["local_files_only"] for options in asked] == [True, False]
    assert all(not pattern.endswith((".bin", ".py", "*")) for o in asked for pattern in o["allow_patterns"])
