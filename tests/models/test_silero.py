"""Silero VAD: shapes, bounds, and that the shipped weights hear speech and not silence."""

from __future__ import annotations

import pytest
import torch

from models.registry import WEIGHTS
from models.silero import FILE, Silero, at_frames, load_silero

SHIPPED = WEIGHTS / "silero-vad"


def test_one_probability_for_every_started_chunk():
    network = Silero().eval()
    for n, chunks in ((512, 1), (513, 2), (16_000, 32)):
        out = network(0.1 * torch.randn(2, n))
        assert out.shape == (2, chunks) and out.min() >= 0 and out.max() <= 1


def test_what_comes_later_changes_nothing_before():
    network, wav = load_silero(SHIPPED), 0.1 * torch.randn(1, 8_192, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(wav[:, :4_096])[0], network(wav)[0, :8], atol=1e-5, rtol=0)


def test_frames_take_the_probability_of_the_chunk_they_lie_in():
    probability = torch.tensor([[0.0, 0.5, 1.0]])
    frames = at_frames(probability, 12)[0]
    assert frames.tolist() == [0.0] * 4 + [0.5] * 3 + [1.0] * 5


def test_the_shipped_weights_hear_speech_and_not_silence(two_voices):
    voice = two_voices[0][:48_000]
    with torch.inference_mode():
        probability = load_silero(SHIPPED)(torch.cat([torch.zeros(16_000), voice])[None])[0]
    assert probability[:28].max() < 0.2
    assert (probability[34:] > 0.5).float().mean() > 0.6


def test_another_networks_file_is_refused(tmp_path):
    from models.speaker import SpeakerEncoder, save_speaker

    save_speaker(SpeakerEncoder.tiny(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / FILE)
    with pytest.raises(ValueError, match="Silero"):
        load_silero(tmp_path)
