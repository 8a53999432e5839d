"""Folders are hostile input: pickles and code stay closed, wrong rates and damaged files are one sentence each."""

from __future__ import annotations

import json
import pickle
import socket

import pytest

from core import detectors
from core.detectors import card, external, store
from core.errors import EarwitnessError, ModelUnavailable
from tests.core.detectors.tiny import clip, save_tiny
from tests.factories import recording


class Bomb:
    """Unpickling this would make a file."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return open, (self.place, "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickled_weights_are_refused_unopened(tmp_path, name):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    with pytest.raises(ModelUnavailable, match="pickled"):
        detectors.load(folder, "cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ending", ["pth", "pt", "ckpt", "bin"])
def test_a_single_pickled_file_is_refused_unopened(tmp_path, ending):
    file = tmp_path / f"AASIST.{ending}"
    file.write_bytes(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    with pytest.raises(ModelUnavailable, match="safetensors"):
        detectors.load(file, "cpu")
    assert not (tmp_path / "ran").exists()


def test_code_in_the_folder_is_never_run_and_said(tmp_path):
    folder = save_tiny(tmp_path / "m", "hubert")
    for name in ("modeling_evil.py", "configuration_evil.py", "__init__.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_evil.Evil", "AutoModel": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    detector = detectors.load(folder, "cpu")
    assert any("never run" in words for words in detector.remarks) and not (tmp_path / "ran").exists()


def test_loading_and_listening_reach_for_no_network(tmp_path, monkeypatch):
    folder = save_tiny(tmp_path / "m", "wavlm")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    detectors.load(folder, "cpu").listen(recording(clip(True, 1)))
    with pytest.raises(ModelUnavailable):
        detectors.load("owner/model", "cpu")


def test_a_hub_id_is_fetched_only_when_asked_and_only_data(tmp_path, monkeypatch, data_folder):
    import huggingface_hub

    asked = {}

    def fake(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(save_tiny(tmp_path / "fetched", "wav2vec2"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    assert detectors.load(external.fetch("owner/model"), "cpu").family == "wav2vec2"
    assert not [p for p in asked["allow_patterns"] if p.endswith((".py", ".bin", ".pt", ".pth", "*"))]
    assert asked["local_dir"].is_relative_to(data_folder)
    for bad in ("../x/y", "no-slash", "a/b/c", ""):
        with pytest.raises(ModelUnavailable, match="hub id"):
            external.fetch(bad)


def test_a_rate_that_differs_from_the_extractors_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    assert external.load(folder, "cpu").terms.sample_rate_hz == 8_000
    (folder / card.FILE).write_text('{"sample_rate_hz": 16000}')
    with pytest.raises(ModelUnavailable, match="16000 Hz and the feature extractor's own file 8000"):
        detectors.load(folder, "cpu")
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": "fast"}')
    with pytest.raises(ModelUnavailable, match="sample rate"):
        detectors.load(folder, "cpu")


def test_a_filter_bank_or_aasist_at_another_rate_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "ast", "ast")
    (folder / card.FILE).write_text('{"sample_rate_hz": 8000}')
    file = save_tiny(tmp_path / "aasist", "aasist")
    file.with_name(f"{file.stem}.{card.FILE}").write_text('{"sample_rate_hz": 8000}')
    for path in (folder, file):
        with pytest.raises(ModelUnavailable, match="16000 Hz"):
            detectors.load(path, "cpu")


def test_another_rate_is_heard_at_that_rate(tmp_path):
    """A network for 8 kHz hears what the same network for 16 kHz hears of the recording played twice as slow."""
    from core.detectors.card import Card

    folder = save_tiny(tmp_path / "m", "wav2vec2")
    low, high = external.load(folder, "cpu", Card(sample_rate_hz=8_000)), external.load(folder, "cpu")
    import torch

    from models.classifiers import resample

    wav = torch.from_numpy(clip(True, 3)[None])
    torch.testing.assert_close(low.window_scores(wav), high.window_scores(resample(wav, 16_000, 8_000)),
                               atol=1e-4, rtol=1e-4)


def test_damaged_weights_are_one_sentence(tmp_path):
    folder, file = save_tiny(tmp_path / "m", "ast"), save_tiny(tmp_path / "a", "aasist")
    for damage in (b"", b"not safetensors", b"\xff" * 8, (10**12).to_bytes(8, "little") + b"{}"):
        (folder / "model.safetensors").write_bytes(damage)
        file.write_bytes(damage)
        for path in (folder, file, file.parent):
            with pytest.raises(EarwitnessError):
                detectors.load(path, "cpu")


def test_weights_that_give_no_number_are_refused(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "m", "wav2vec2")
    tensors = load_file(folder / "model.safetensors") | {"classifier.bias": torch.tensor([float("nan"), 0.0])}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="finite"):
        detectors.load(folder, "cpu").listen(recording(clip(True, 1)))


def test_an_index_beyond_the_logits_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    (folder / card.FILE).write_text('{"spoof_index": 2}')
    with pytest.raises(ModelUnavailable, match="names logit 2"):
        detectors.load(folder, "cpu")


def test_damaged_records_in_the_data_folder_hurt_nobody(tmp_path):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    detector = detectors.load(folder, "cpu")
    store.remember(folder, detector.files_sha256)
    place = store.folder(detector.files_sha256)
    (place / "polarity.json").write_text('{"state": "verified"}')
    assert detectors.load(folder, "cpu").polarity is None
    (place / "record.json").write_text("[")
    assert "m" not in detectors.names() and detectors.load(folder, "cpu")
    (place / "card.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="data folder"):
        detectors.load(folder, "cpu")
