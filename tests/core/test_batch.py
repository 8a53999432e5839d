"""Scoring many recordings at once says what examining each says."""

from __future__ import annotations

import numpy as np
import pytest

from core import batch
from core.audio import read_recording
from core.batch import score_many
from core.commands.speechlike import speechlike, wav_bytes
from core.examine import examine, forget
from core.quality import measure_quality
from models.registry import load_detector
from tests.tiny_detector import make_detector

SECONDS = (4.0, 0.7, 9.0, 4.0, 8.2, 2.3, 13.0, 4.0, 0.7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def items():
    made = []
    for i, seconds in enumerate(SECONDS):
        recording = read_recording(wav_bytes(speechlike(seconds, i)), f"{i}.wav")
        made.append((i, recording, measure_quality(recording)))
    return made


def test_a_table_says_what_an_examination_says(model, items):
    forget()
    detector = load_detector(model, "cpu")
    results = list(score_many(items, detector))
    assert [key for key, _ in results] == list(range(len(items)))  # in order, whatever shared a batch
    for (_, evidence), (_, recording, _) in zip(results, items, strict=True):
        alone = examine(recording, model=model).entropy
        assert evidence.clip_score == pytest.approx(alone.clip_score, abs=1e-3)
        assert evidence.distance == pytest.approx(alone.distance, rel=1e-3)
        assert np.allclose(evidence.window_scores, alone.window_scores, atol=1e-3)
        assert np.allclose(evidence.window_seconds, alone.window_seconds)
        assert evidence.window_times.tolist() == alone.window_times.tolist()


def test_windows_of_different_files_share_a_batch(model, items, monkeypatch):
    sizes = []
    real = batch._forward
    monkeypatch.setattr(batch, "_forward", lambda bucket, d: sizes.append(len(bucket)) or real(bucket, d))
    list(score_many(items, load_detector(model, "cpu")))
    windows = sum(len(batch.plan_windows(len(r.samples))) for _, r, _ in items)
    assert sum(sizes) == windows and max(sizes) == 8 and len(sizes) < windows


def test_one_failing_window_spoils_only_its_own_recording(model, items, monkeypatch):
    culprit = items[3][1]
    real = batch._forward

    def flaky(bucket, detector):
        if any(clip.recording is culprit for clip, _ in bucket):
            raise RuntimeError("out of something")
        real(bucket, detector)

    monkeypatch.setattr(batch, "_forward", flaky)
    results = dict(score_many(items, load_detector(model, "cpu")))
    assert [k for k, v in results.items() if isinstance(v, Exception)] == [3]


def test_results_come_while_files_are_still_being_read(model, items):
    taken = []

    def feed():
        for item in items * 3:
            taken.append(item[0])
            yield item

    stream = score_many(((n, r, q) for n, (_, r, q) in enumerate(feed())), load_detector(model, "cpu"))
    next(stream)
    assert len(taken) < 3 * len(items)


def test_too_short_is_a_problem_of_that_file(model, items):
    short = items[0][1].__class__("short", "0" * 64, np.zeros(100, np.float32), items[0][1].facts)
    (_, first), (_, second) = score_many(
        [("a", short, items[0][2]), ("b", *items[0][1:])], load_detector(model, "cpu")
    )
    assert isinstance(first, Exception) and second.clip_score is not None
