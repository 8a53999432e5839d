"""Vocoders learn, can be killed and resumed, and copy clips; every copier keeps what a copy must keep."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.training.copies import COPIERS, absent
from core.training.copy_quality import measure_copy
from core.training.vocoders import (
    VocoderRecipe,
    VocoderTrainingError,
    neural_copiers,
    neural_copy,
    recipe_for,
    spectral_loss,
    train_vocoder,
)
from models.vocoder import VocoderConfig
from tests.factories import voiced

TINY = VocoderConfig(channels=16, blocks=2, n_fft=320, hop=160, n_mels=20, codewords=8, quantisers=2, code=4)
RECIPE = VocoderRecipe("tiny", TINY, steps=8, batch=2, seconds=0.2, alone=0.5, stages=(0.5, 1.0), bf16=False,
                       save_every=2)
CLIPS = [voiced(1.0, seed, pitch_hz=110 + 30 * seed) for seed in range(3)]
X = voiced(1.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vocoder")
    train_vocoder(CLIPS, folder, RECIPE)
    return folder


def test_training_keeps_its_stages_and_a_log(trained: Path) -> None:
    assert sorted(p.name for p in trained.glob("*.safetensors")) == ["tiny-4.safetensors", "tiny-8.safetensors"]
    rows = list(csv.DictReader((trained / "log.csv").open()))
    assert [int(r["step"]) for r in rows] == [2, 4, 6, 8]
    assert float(rows[-1]["critic"]) > 0 == float(rows[0]["critic"])


def test_a_killed_training_ends_where_an_undisturbed_one_does(trained: Path, tmp_path: Path) -> None:
    def kill(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_vocoder(CLIPS, tmp_path, RECIPE, on_step=kill)
    stages = train_vocoder(CLIPS, tmp_path, RECIPE)
    assert [p.name for p in stages] == ["tiny-4.safetensors", "tiny-8.safetensors"]
    for name in ("tiny-4.safetensors", "tiny-8.safetensors"):
        a, b = (neural_copy(X, np.random.default_rng(0), folder / name) for folder in (trained, tmp_path))
        assert np.allclose(a, b, atol=1e-5)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = replace(RECIPE, steps=40, alone=1.0, rate=3e-3, config=replace(TINY, channels=32))
    train_vocoder(CLIPS, tmp_path, recipe, on_step=lambda step, steps, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])


def test_a_limit_of_time_saves_and_stops(tmp_path: Path) -> None:
    assert train_vocoder(CLIPS, tmp_path, RECIPE, minutes=0.0) == []
    assert int(torch.load(tmp_path / "state.pt", weights_only=True)["step"]) == 1


def test_what_cannot_be_trained_or_resumed_is_said(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(VocoderTrainingError, match="longer"):
        train_vocoder([X[:100]], tmp_path, RECIPE)
    with pytest.raises(VocoderTrainingError, match="known are"):
        recipe_for("magic")
    shutil.copy(trained / "state.pt", tmp_path / "state.pt")
    with pytest.raises(VocoderTrainingError, match="another configuration"):
        train_vocoder(CLIPS, tmp_path, replace(RECIPE, config=replace(TINY, channels=24)))
    (tmp_path / "state.pt").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(VocoderTrainingError, match="cannot be resumed"):
        train_vocoder(CLIPS, tmp_path, RECIPE)
    for path in (tmp_path / "absent.safetensors", tmp_path / "state.pt"):
        with pytest.raises(VocoderTrainingError):
            neural_copy(X, np.random.default_rng(0), path)


@pytest.mark.parametrize("kind", ["istft", "hifigan", "nsf", "vq"])
def test_every_kind_trains_and_copies(kind: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, name=kind, steps=2, stages=(1.0,), config=replace(TINY, kind=kind))
    train_vocoder(CLIPS, tmp_path / kind, recipe)
    copiers = neural_copiers(tmp_path)
    assert list(copiers) == [f"{kind}-2"]
    y = copiers[f"{kind}-2"](X, np.random.default_rng(0))
    assert y.shape == X.shape and y.dtype == np.float32 and np.isfinite(y).all() and np.abs(y).max() <= 1
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(X**2)), rel=0.2)


def test_the_spectral_loss_of_a_perfect_copy_is_nothing() -> None:
    x = torch.from_numpy(X)[None, :8000]
    assert float(spectral_loss(x, x)) == pytest.approx(0.0, abs=1e-6)
    assert float(spectral_loss(-x, x)) == pytest.approx(0.0, abs=1e-5)  # the phase is free
    assert float(spectral_loss(0.5 * x, x)) > 0.3


def test_quality_knows_a_perfect_copy_and_ranks_worse_ones() -> None:
    perfect = measure_copy(X, 0.3 * X)
    assert perfect.mel_db == pytest.approx(0, abs=0.01) and perfect.envelope == pytest.approx(1, abs=1e-3)
    assert perfect.pitch_cents == 0 and perfect.voicing == 1
    noise = np.random.default_rng(0).standard_normal(len(X)).astype(np.float32)
    mild, harsh = (measure_copy(X, (X + level * noise).astype(np.float32)) for level in (0.003, 0.1))
    assert perfect.mel_db < mild.mel_db < harsh.mel_db and perfect.envelope > mild.envelope > harsh.envelope
    with pytest.raises(ValueError, match="samples"):
        measure_copy(X, X[:-1])


@pytest.mark.parametrize("name", COPIERS)
def test_every_copier_keeps_length_and_rhythm(name: str) -> None:
    if absent(name):
        with pytest.raises((RuntimeError, ImportError)):
            COPIERS[name](X, np.random.default_rng(0))
        return
    y = COPIERS[name](X, np.random.default_rng(0))
    assert y.shape == X.shape and np.isfinite(y).all() and np.abs(y).max() <= 1
    loud = [np.sqrt(np.mean(v[: len(v) // 1600 * 1600].reshape(-1, 1600) ** 2, axis=1)) for v in (X, y)]
    assert np.corrcoef(*loud)[0, 1] > 0.4


@pytest.mark.skipif(bool(absent("world-vc")), reason="pyworld is not installed")
def test_voice_conversion_moves_the_pitch() -> None:
    from models.vocoder import track_pitch

    y = COPIERS["world-vc"](X, np.random.default_rng(1))
    before, after = (track_pitch(torch.from_numpy(v)[None], 160, 150)[0] for v in (X, y.astype(np.float32)))
    moved = abs(12 * np.log2(float(after[after > 0].median() / before[before > 0].median())))
    assert 1.5 < moved < 8
