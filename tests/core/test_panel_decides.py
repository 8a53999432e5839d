"""Where a model folder has a panel, it decides; f-InfoED's own answer stays beside it, and every way gives one number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from core.batch import score_many
from core.commands.speechlike import speechlike, wav_bytes
from core.examine import detector_for, examine, forget, quality_of
from core.finding import calibration_of, own_calibration_of
from models.panel import Panel, panel_for, save_panel
from models.registry import load_detector
from tests.tiny_detector import make_calibration, make_detector

DATA = wav_bytes(speechlike(6.0))


def with_panel(folder: Path, **reference: np.ndarray) -> Path:
    make_detector(folder)
    encoder = load_detector(folder, "cpu").network.encoder
    panel = panel_for(encoder)
    generator = torch.Generator().manual_seed(0)
    for linear in [*panel.members.values(), panel.local]:
        linear.weight.copy_(0.01 * torch.randn(linear.weight.shape, generator=generator))
    save_panel(panel, folder / "panel.safetensors")
    make_calibration(slope=0.5, intercept=0.25).save(folder / "panel_calibration.safetensors")
    arrays = {"window_conflict_limit": np.array([1e6]), "frame_threshold": np.array([0.0])} | reference
    save_file(arrays, folder / "panel_reference.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return with_panel(tmp_path_factory.mktemp("models") / "tiny")


def test_the_panel_scores_and_its_own_calibration_is_used(folder):
    done = examine(DATA, model=folder, device="cpu")
    detector = detector_for(folder, "cpu")
    line = calibration_of(detector)
    assert (line.slope, line.intercept) == (0.5, 0.25)
    assert own_calibration_of(detector).slope == 1.0
    assert done.finding.score == pytest.approx(done.entropy.clip_score)
    share = dict(zip(detector.panel.names, detector.panel.share.tolist(), strict=True))
    total = sum(share[name] * value for name, value in done.entropy.member_scores.items())
    assert total == pytest.approx(done.finding.score, abs=1e-4)


def test_f_infoeds_answer_is_the_one_it_gives_without_a_panel(folder, tmp_path):
    alone = examine(DATA, model=make_detector(tmp_path / "alone"), device="cpu")
    done = examine(DATA, model=folder, device="cpu")
    assert done.entropy.own_score == pytest.approx(alone.finding.score, abs=1e-5)
    decides, beside = done.finding.detectors
    assert "decides" in decides.name and decides.score == done.finding.score
    assert beside.score == pytest.approx(alone.finding.score, abs=1e-5)
    assert len(alone.finding.detectors) == 1 and not alone.entropy.member_scores


def test_lists_say_what_an_examination_says(folder):
    forget()
    done = examine(DATA, model=folder, device="cpu")
    detector = detector_for(folder, "cpu")
    (_, evidence), = score_many([(0, done.recording, quality_of(done.recording))], detector)
    assert evidence.clip_score == pytest.approx(done.finding.score, abs=2e-3)


def test_the_json_has_the_views(folder):
    body = json.loads(json.dumps(examine(DATA, model=folder, device="cpu").to_dict(), allow_nan=False))
    assert set(body["panel"]["members"]) == set(Panel(8).names)
    assert [d["score"] is not None for d in body["finding"]["detectors"]] == [True, True]


def test_another_panel_is_another_model(folder, tmp_path):
    other = with_panel(tmp_path / "tiny", window_conflict_limit=np.array([5.0]))
    assert detector_for(folder, "cpu").content_sha256 != detector_for(other, "cpu").content_sha256
