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
from core.panel import listen, panel_windows
from models.aasist import AASIST
from models.panel import NETWORK_VIEWS, panel_with, save_panel
from models.views import VIEWS
from tests.tiny_detector import make_calibration, make_detector

DATA = wav_bytes(speechlike(6.0))


def with_panel(folder: Path, **reference: np.ndarray) -> Path:
    make_detector(folder)
    panel = panel_with(AASIST.tiny().state_dict())
    generator = torch.Generator().manual_seed(0)
    for linear in [*panel.members.values(), panel.local, panel.near]:
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
    assert set(body["panel"]["members"]) == {*VIEWS, *NETWORK_VIEWS}
    assert [d["score"] is not None for d in body["finding"]["detectors"]] == [True, True]


def test_another_panel_is_another_model(folder, tmp_path):
    other = with_panel(tmp_path / "tiny", window_conflict_limit=np.array([5.0]))
    assert detector_for(folder, "cpu").content_sha256 != detector_for(other, "cpu").content_sha256


def test_its_windows_are_longer_than_the_encoders_and_a_short_rest_is_covered_by_a_full_one(folder):
    n = 16_000
    assert [(w.start / n, w.stop / n) for w in panel_windows(6 * n)] == [(0, 6)]
    assert [(w.start / n, w.stop / n) for w in panel_windows(10 * n)] == [(0, 8), (2, 10)]
    assert [(w.start / n, w.stop / n) for w in panel_windows(13 * n)] == [(0, 8), (8, 13)]
    done = examine(wav_bytes(speechlike(10.0)), model=folder, device="cpu")
    assert done.entropy.window_times.tolist() == [[0, 8], [2, 10]]
    assert len(done.entropy.own_window_scores) == len(done.encoding.windows) == 3
    assert done.entropy.window_seconds.sum() == pytest.approx(done.entropy.own_window_seconds.sum(), abs=0.05)


def test_a_long_recording_is_read_as_its_windows_are(folder):
    detector = detector_for(folder, "cpu")
    samples = speechlike(13.0).astype(np.float32)
    whole = listen(samples, detector.panel)
    parts = [listen(samples[w.start : w.stop], detector.panel) for w in panel_windows(len(samples))]
    assert np.allclose(whole.scores, [p.scores[0] for p in parts])
    assert np.allclose(whole.frames, np.concatenate([p.frames for p in parts]))


@pytest.mark.parametrize(("limit", "state"), [(1e6, "advice"), (-1e6, "passed")])
def test_a_part_that_stands_out_is_advice_and_no_refusal(tmp_path, limit, state):
    done = examine(DATA, model=with_panel(tmp_path / "m", part_limit=np.array([limit])), device="cpu")
    row = next(r for r in done.finding.checks if r.code == "synthetic-part")
    assert row.state == state and not row.fatal and not done.finding.abstained
    assert any(row.message == words for words in done.finding.advice) == (state == "advice")


def test_the_whole_recordings_score_has_its_share_in_what_says_that_a_part_stands_out(tmp_path):
    rows, scores = [], []
    for share in (0.0, 2.0):
        given = {"part_limit": np.array([-1e6]), "part_share": np.array([share])}
        done = examine(DATA, model=with_panel(tmp_path / f"m{share:g}", **given), device="cpu")
        rows.append(next(r for r in done.finding.checks if r.code == "synthetic-part"))
        scores.append(done.entropy.clip_score)
    assert rows[1].value - rows[0].value == pytest.approx(2.0 * scores[0] / np.log(10), abs=1e-5)


def test_what_is_refused_for_its_traces_has_no_score_and_no_lead(tmp_path):
    """The same sound with limits that its traces lie below, and with one that it exceeds."""
    found = {}
    for name, limit in (("below", 1e6), ("beyond", -1e6)):
        given = {"part_limit": np.array([1e6]), "trace_limits": np.array([1e6, limit, 1e6])}
        found[name] = examine(DATA, model=with_panel(tmp_path / name, **given), device="cpu").finding
    codes = {name: [r.code for r in f.checks] for name, f in found.items()}
    assert "synthetic-part" in codes["below"] and "synthetic-part" not in codes["beyond"]
    assert not found["below"].abstained and [r.code for r in found["beyond"].reasons] == ["room"]
    assert "reverberant room" in found["beyond"].sentence and found["beyond"].score is None
    assert found["beyond"].regions == () and any("closer to the speaker" in a for a in found["beyond"].advice)


def test_without_a_limit_there_is_no_row_about_parts(folder):
    codes = {row.code for row in examine(DATA, model=folder, device="cpu").finding.checks}
    assert "synthetic-part" not in codes and "several-speakers" in codes


@pytest.mark.parametrize(("level", "told"), [(0.95, True), (0.1, False)])
def test_a_strongly_compressed_file_is_told_what_that_does_to_the_score(folder, level, told):
    import io

    import soundfile

    file = io.BytesIO()
    soundfile.write(file, speechlike(6.0), 16_000, format="MP3", subtype="MPEG_LAYER_III", compression_level=level)
    advice = examine(file.getvalue(), model=folder, device="cpu").finding.advice
    assert any("kbit/s" in sentence and "bona fide" in sentence for sentence in advice) == told


@pytest.mark.parametrize(("rate", "told"), [(10_000, True), (40_000, False)])
def test_opus_is_told_to_move_scores_the_other_way(folder, rate, told):
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        track = container.add_stream("libopus", rate=48_000, layout="mono")
        track.bit_rate = rate
        track.codec_context.open()
        frame = av.AudioFrame.from_ndarray(speechlike(6.0)[None], "fltp", "mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(track.codec_context.format, "mono", 48_000, track.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(track.encode(part))
        container.mux(track.encode(None))
    advice = examine(file.getvalue(), model=folder, device="cpu").finding.advice
    assert any("Opus" in sentence and "towards synthesis" in sentence for sentence in advice) == told
