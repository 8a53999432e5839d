"""Speaker encoders of others: what their embeddings keep, and which folders are refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from models.encoder import EncoderUnavailable
from models.xvector import CLASSES, LONGEST, load_xvector
from tests.tiny_xvector import make_xvector

RNG = np.random.default_rng(0)


@pytest.fixture(scope="session", params=sorted(CLASSES))
def folder(request, tmp_path_factory):
    return make_xvector(tmp_path_factory.mktemp("xvector") / request.param, request.param)


def noise(n: int) -> np.ndarray:
    return (0.1 * RNG.standard_normal(n)).astype(np.float32)


def test_every_family_gives_unit_embeddings_that_repeat(folder):
    encoder, wav = load_xvector(folder), noise(32_000)
    one, again = encoder.embed(wav), load_xvector(folder).embed(wav)
    assert one.shape == (encoder.width,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(one, again)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_level_has_no_say_where_the_model_wants_normalised_input(folder):
    encoder, wav = load_xvector(folder), noise(32_000)
    assert encoder.normalise
    assert encoder.embed(wav) @ encoder.embed(0.2 * wav) == pytest.approx(1, abs=1e-3)


def test_a_long_sound_is_the_mean_of_its_windows(folder):
    encoder, wav = load_xvector(folder), noise(2 * LONGEST)
    parts = [encoder.embed(wav[:LONGEST]), encoder.embed(wav[LONGEST:])]
    mean = np.mean(parts, axis=0)
    assert encoder.embed(wav) @ (mean / np.linalg.norm(mean)) == pytest.approx(1, abs=1e-5)


def test_silence_says_nothing_and_no_samples_are_an_error(folder):
    encoder = load_xvector(folder)
    assert np.isnan(encoder.embed(np.zeros(32_000, np.float32))).all()
    assert np.isfinite(encoder.embed(noise(500))).all()  # repeated
    with pytest.raises(ValueError, match="no samples"):
        encoder.embed(np.zeros(0, np.float32))


def test_what_is_no_x_vector_model_is_refused_in_one_sentence(folder, tmp_path):
    def spoilt(change) -> str:
        copy = shutil.copytree(folder, tmp_path / "spoilt", dirs_exist_ok=True)
        change(copy)
        with pytest.raises(EncoderUnavailable) as caught:
            load_xvector(copy)
        shutil.rmtree(copy)
        return str(caught.value)

    def config(**fields):
        def change(copy):
            given = json.loads((copy / "config.json").read_text())
            (copy / "config.json").write_text(json.dumps(given | fields))
        return change

    assert "type 'bert'" in spoilt(config(model_type="bert"))
    assert "don't fit" in spoilt(config(hidden_size=48)) or "lacks" in spoilt(config(hidden_size=48))
    assert "config.json" in spoilt(lambda copy: (copy / "config.json").unlink())
    assert "pickled" in spoilt(lambda copy: (copy / "model.safetensors").rename(copy / "pytorch_model.bin"))
    assert "damaged" in spoilt(lambda copy: (copy / "model.safetensors").write_bytes(b"x" * 100))
    with pytest.raises(EncoderUnavailable, match="give an existing folder"):
        load_xvector(tmp_path / "nowhere at all")


def test_an_encoder_without_the_head_is_refused_not_left_random(tmp_path):
    from transformers import WavLMConfig, WavLMModel

    from tests.tiny_xvector import TINY

    WavLMModel(WavLMConfig(**TINY)).save_pretrained(tmp_path)
    with pytest.raises(EncoderUnavailable, match="lacks"):
        load_xvector(tmp_path)


def test_code_in_the_folder_is_never_run(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "coded")
    (copy / "modeling.py").write_text("raise SystemExit('run')")
    given = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(given | {"auto_map": {"AutoModelForAudioXVector": "modeling.Model"}}))
    assert load_xvector(copy).embed(noise(16_000)).shape == (16,)
