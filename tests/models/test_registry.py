"""The registry: names, paths, cards, hashes, devices, one load per files."""

from __future__ import annotations

import hashlib
import json
import os
import threading

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from models import registry
from models.finfoed import FInfoED, save_finfoed
from models.registry import DetectorUnavailable, choose_device, detector_names, load_detector, read_card


@pytest.fixture
def folder(tmp_path):
    """A complete tiny model folder."""
    place = tmp_path / "tiny"
    place.mkdir()
    save_finfoed(FInfoED.tiny(seed=1), place / "model.safetensors")
    save_file({"slope": np.array([0.5], np.float32)}, place / "calibration.safetensors")
    save_file({"dim_order": np.arange(8)}, place / "reference.safetensors")
    digest = hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest()
    (place / "card.json").write_text(json.dumps({"name": "tiny", "weights_sha256": digest}))
    return place


def test_a_folder_loads_whole_and_once(folder):
    detector = load_detector(folder, "cpu")
    assert detector.name == "tiny" and detector.device == torch.device("cpu")
    assert detector.weights_sha256 == detector.card["weights_sha256"] == read_card(folder)["weights_sha256"]
    assert detector.calibration["slope"] == [0.5]
    assert detector.reference["dim_order"].tolist() == list(range(8))
    assert not detector.network.training and not any(p.requires_grad for p in detector.network.parameters())
    assert load_detector(str(folder), "cpu") is detector is load_detector(folder / ".", "cpu")
    with detector.lock, detector.lock:  # re-entrant
        pass


def test_weights_come_back_as_they_were_saved(folder):
    wav = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    loaded, original = load_detector(folder, "cpu").network, FInfoED.tiny(seed=1)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode(wav), original.encode(wav), atol=2e-2, rtol=2e-2)  # fp16


def test_many_threads_share_one_load(folder):
    got = []
    threads = [threading.Thread(target=lambda: got.append(load_detector(folder, "cpu"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4 and len({id(detector) for detector in got}) == 1


def test_changed_files_are_loaded_again_and_change_the_digest(folder):
    before = load_detector(folder, "cpu")
    save_file({"slope": np.array([0.75], np.float32)}, folder / "calibration.safetensors")
    os.utime(folder / "calibration.safetensors", ns=(1, 1))
    after = load_detector(folder, "cpu")
    assert after is not before and after.calibration["slope"] == [0.75]
    assert after.weights_sha256 == before.weights_sha256
    assert after.content_sha256 != before.content_sha256


def test_names_come_from_the_weights_folder(folder, monkeypatch):
    monkeypatch.setattr(registry, "WEIGHTS", folder.parent)
    monkeypatch.setattr(registry, "DEFAULT_MODEL", "tiny")
    (folder.parent / "not-a-model").mkdir()
    (folder.parent / "another-question").mkdir()
    save_file({"x": np.zeros(2, np.float32)}, folder.parent / "another-question" / "model.safetensors")
    assert detector_names() == ("tiny",)
    assert load_detector("tiny", "cpu").name == "tiny"
    with pytest.raises(DetectorUnavailable, match="one of: tiny"):
        load_detector("absent", "cpu")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        load_detector("not-a-model", "cpu")
    monkeypatch.setattr(registry, "WEIGHTS", folder.parent / "nowhere")
    assert detector_names() == ()
    with pytest.raises(LookupError, match="none is installed"):
        load_detector("tiny-one", "cpu")


def test_a_model_in_the_making_has_empty_tables(folder):
    for part in ("calibration.safetensors", "reference.safetensors", "card.json"):
        (folder / part).unlink()
    detector = load_detector(folder, "cpu")
    assert detector.card == {} and detector.calibration == {} and detector.reference == {}


@pytest.mark.parametrize("key", ["weights_sha256", "calibration_sha256"])
def test_files_that_are_not_the_cards_are_refused(folder, key):
    (folder / "card.json").write_text(json.dumps({key: "0" * 64}))
    with pytest.raises(DetectorUnavailable, match="not the file its card names"):
        load_detector(folder, "cpu")


@pytest.mark.parametrize("part", ["model", "calibration", "card"])
def test_damaged_files_give_one_sentence(folder, part):
    file = folder / ("card.json" if part == "card" else f"{part}.safetensors")
    if part != "card":
        (folder / "card.json").unlink()
    file.write_bytes(b"\x80\x04not a tensor file")
    with pytest.raises(DetectorUnavailable, match="fetch the model again") as caught:
        load_detector(folder, "cpu")
    assert str(caught.value).count(".") <= 3 and "\n" not in str(caught.value)


def test_a_foreign_safetensors_file_is_refused(folder):
    (folder / "card.json").unlink()
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    with pytest.raises(DetectorUnavailable, match="not a detector's"):
        load_detector(folder, "cpu")


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for nonsense in ("tpu", "cuda:x", "", "cpu:7"):
        with pytest.raises(DetectorUnavailable):
            choose_device(nonsense)
    if not torch.cuda.is_available():
        with pytest.raises(LookupError, match="choose cpu or auto"):
            choose_device("cuda")
