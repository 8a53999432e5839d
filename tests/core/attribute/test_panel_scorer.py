"""What the finding's own number rests on: the panel posed as a question, pinned to the examination's scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core.attribute.audition import Box, audition, box_mask
from core.attribute.baselines import BASELINES, make_baseline
from core.attribute.problem import make_problem
from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.attribute.scorer import CALIBRATED, FInfoEDScorer, scorer_of
from core.audio import read_recording
from core.audit.verdict import audit
from core.commands.speechlike import speechlike
from core.detectors.panel import PanelDetector
from core.errors import InvalidOption
from core.examine import detector_for, examine
from models import panel as panel_module
from tests import known_models as known
from tests.core.test_panel_decides import with_panel
from tests.factories import sound_bytes, voiced

PLANES = ("levels", "spectrum", "waveform")


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """bfloat16 hides differences below 1e-3, where the processor has it."""
    monkeypatch.setattr(panel_module, "computes_bfloat16", lambda x: False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return with_panel(tmp_path_factory.mktemp("models") / "tiny", frame_threshold=np.array([0.3]))


@pytest.fixture(scope="module")
def scorer(folder):
    return scorer_of(PanelDetector(detector_for(folder, "cpu")))


@pytest.fixture(scope="module")
def recording():
    return read_recording(sound_bytes(speechlike(4.0), subtype="FLOAT"), "voice.wav")


def test_the_panel_is_explained_and_not_f_infoed(scorer, folder):
    detector = detector_for(folder, "cpu")
    own = scorer_of(detector)
    assert scorer.panel is detector.panel and isinstance(own, FInfoEDScorer)
    assert scorer.sha256 != own.sha256 and scorer.unit == CALIBRATED


@pytest.mark.parametrize("plane", PLANES)
def test_the_explained_score_is_the_findings(scorer, folder, plane):
    """1e-4, through the plane and back, over several windows."""
    long = read_recording(sound_bytes(speechlike(13.0), subtype="FLOAT"), "voice.wav")
    done = examine(long, model=folder, device="cpu")
    posed = pose(long, scorer, Question("clip", (0, 13), plane), done.entropy.window_seconds)
    with torch.no_grad():
        total = sum(float(p.score(p.x)[0]) for p in posed.problems)
    assert len(posed.problems) == posed.n_windows == 2 and sum(posed.weights) == pytest.approx(1.0)
    line = scorer.calibration
    assert total == pytest.approx(line.slope * done.finding.score + line.intercept, abs=1e-4)


@pytest.mark.parametrize("plane", PLANES)
def test_a_moments_question_reads_the_examinations_frame_scores(scorer, folder, recording, plane):
    track = examine(recording, model=folder, device="cpu").entropy.score.values
    posed = pose(recording, scorer, Question("moment", (1.0, 1.4), plane))
    with torch.no_grad():
        explained = float(posed.problems[0].score(posed.problems[0].x))
    assert explained == pytest.approx(float(track[50:70].mean()), abs=1e-4)


def test_gradients_are_those_of_the_score(scorer, recording):
    """A small step along the gradient moves the score by its length (a directional derivative)."""
    problem = pose(recording, scorer, Question("moment", (0.5, 2.5), "levels")).problems[0]
    x = problem.x.clone().requires_grad_(True)
    gradient, = torch.autograd.grad(problem.score(x).sum(), x)
    step = 2e-3 * gradient / gradient.norm()
    with torch.no_grad():
        moved = float(problem.score(problem.x + step) - problem.score(problem.x - step)) / 2
    assert moved == pytest.approx(2e-3 * float(gradient.norm()), rel=0.1)
    assert all(p.grad is None for p in scorer.panel.parameters())


@pytest.mark.parametrize(("method", "quick"), [("integrated-gradients", {"steps": 1}), ("gradient-shap", {"samples": 1})])
def test_two_sessions_at_once_get_the_map_of_one(scorer, recording, method, quick):
    def one(_=None):
        return compute(pose(recording, scorer, Question("region", (0.5, 2.0), "levels")), method, "mean-bonafide",
                       seed=3, parameters=quick).values

    alone = one()
    assert np.abs(alone).max() > 0
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(alone, other) for other in pool.map(one, range(2)))


def test_the_audit_destroys_a_copy_and_says_what_does_not_fit(scorer, recording):
    posed = pose(recording, scorer, Question("moment", (0.5, 2.5), "levels"))
    before = scorer.frames_of_wav(posed.problems[0].wav)
    made = audit(posed, compute(posed, "integrated-gradients", "mean-bonafide", parameters={"steps": 4}))
    assert made.destroyed is not None and set(made.likeness) == {"occlusion", "gradient-shap"}
    assert all(check.passed is not None for check in made.checks)
    assert torch.equal(scorer.frames_of_wav(posed.problems[0].wav), before)
    with pytest.raises(InvalidOption, match="no convolutional feature maps"):
        compute(posed, "grad-cam")
    with pytest.raises(InvalidOption, match="doesn't hear a log-mel"):
        pose(recording, scorer, Question("clip", None, "log-mel"))


def test_a_part_can_be_taken_out_of_the_findings_score(scorer, recording):
    posed = pose(recording, scorer, Question("clip", None, "levels"))
    samples = np.array(recording.samples)
    made = audition(posed, box_mask(Box(1.0, 2.0, 300, 4_000), 0.0, len(samples)), samples)
    with torch.no_grad():
        rest = scorer.clip_of_wav(torch.from_numpy(made.rest)[None])
    assert made.after == pytest.approx(float(rest), abs=1e-3) and made.after != made.before


# ---- the plane of band levels ------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", BASELINES)
def test_levels_change_the_sound_as_they_say(baseline):
    """At the recording's levels the sound is the recording; 1 unit less in every band is 40 dB less."""
    heard = []
    scorer = known.KnownScorer(lambda mel: mel.mean((1, 2)))
    scorer.clip_of_wav = lambda wav: heard.append(wav) or wav.square().mean(1)
    wav = torch.from_numpy(voiced(1.0, seed=3))[None]
    problem = make_problem(scorer, wav, "levels")
    problem.score(torch.cat([problem.x, problem.x - 1.0]))
    assert (heard[0][0] - wav[0]).abs().max() < 1e-5
    assert float(heard[0][1].square().mean() / heard[0][0].square().mean()) == pytest.approx(1e-4, rel=0.02)
    assert torch.isfinite(problem.score(make_baseline(problem, baseline))).all()


def test_a_band_alone_is_turned_down():
    """Levels of one stretch and band lowered: the tone there goes, one elsewhere stays."""
    t = np.arange(32_000) / 16_000
    wav = torch.from_numpy((0.1 * np.sin(2 * np.pi * 500 * t) + 0.1 * np.sin(2 * np.pi * 3_000 * t)).astype(np.float32))
    scorer = known.KnownScorer(lambda mel: mel.mean((1, 2)))
    kept = []
    scorer.clip_of_wav = lambda sound: kept.append(sound) or sound.square().mean(1)
    problem = make_problem(scorer, wav[None], "levels")
    lowered = problem.x.clone()
    high = (problem.edges_hz[1:] > 2_000) & (problem.edges_hz[:-1] < 4_500)
    lowered[:, torch.from_numpy(high), 100:] -= 1.5
    problem.score(lowered)
    def tones(sound):
        return np.abs(np.fft.rfft(sound.numpy() * np.hanning(12_800)))[[400, 2_400]]

    low, tone = tones(kept[0][0, -12_800:])
    assert tone < 0.01 * low
    low, tone = tones(kept[0][0, :12_800])
    assert tone == pytest.approx(low, rel=0.02)


def test_integrated_gradients_on_levels_add_up_and_find_a_planted_tone():
    sound = known.with_tone(voiced(2.0, seed=3), 0.8, 1.2)
    posed = pose(read_recording(sound_bytes(sound, subtype="FLOAT"), "v.wav"), known.artefact(3_000.0),
                 Question("clip", None, "levels"))
    found = compute(posed, "integrated-gradients", "own-mean", parameters={"steps": 64})
    assert found.error < 0.01
    inside = (found.times_s > 0.8) & (found.times_s < 1.2)
    size = np.abs(found.values).sum(0)
    assert size[inside].sum() > 0.5 * size.sum()
