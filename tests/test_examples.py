"""The bundled examples are what their list says: present, unchanged, small, licensed, fit to be examined."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from core.audio import read_recording
from core.quality import measure_quality

FOLDER = Path(__file__).parents[1] / "examples"
ENTRIES = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
KEYS = {"id", "file", "title", "what_to_notice", "truth", "family", "system", "attribution", "licence",
        "sha256"}


def test_there_is_something_of_every_kind_and_it_is_small():
    assert {entry["truth"] for entry in ENTRIES} == {"bona fide", "spoof", "hybrid"}
    assert len({entry["family"] for entry in ENTRIES if entry["truth"] == "spoof"}) >= 2
    assert len({entry["id"] for entry in ENTRIES}) == len(ENTRIES)
    assert sum((FOLDER / entry["file"]).stat().st_size for entry in ENTRIES) < 3_000_000
    listed = {entry["file"] for entry in ENTRIES} | {"examples.json", "make.py", "ATTRIBUTION.md"}
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == listed


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_each_file_is_the_one_that_is_listed_and_can_be_examined(entry):
    assert set(entry) >= KEYS and all(entry[key] for key in KEYS)
    assert entry["file"] in (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    recording = read_recording(FOLDER / entry["file"])
    assert recording.sha256 == entry["sha256"]
    assert hashlib.sha256((FOLDER / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert 5 < recording.duration_s < 16 and recording.warnings == ()
    assert bool(measure_quality(recording).fatal) == (entry["id"] == "noisy")


@pytest.mark.parametrize("hybrid", [e for e in ENTRIES if e["truth"] == "hybrid"], ids=lambda entry: entry["id"])
def test_a_hybrid_is_real_outside_its_stretch_and_cut_in_pauses(hybrid):
    recording = read_recording(FOLDER / hybrid["file"])
    (start, stop), = hybrid["spliced_samples"]
    assert hybrid["spliced_s"] == [[start / 16_000, stop / 16_000]]
    assert 0 < start < stop < len(recording.samples)
    speech = measure_quality(recording).speech
    for cut in (start, stop):
        assert speech.at(cut / 16_000) == 0
    assert speech.slice(start / 16_000, stop / 16_000).values.mean() > 0.7


@pytest.fixture(scope="module")
def inserted():
    """The examination of *inserted-voice*, its score over time inside the stretch and outside, and the stretch."""
    from core.examine import examine

    entry = next(e for e in ENTRIES if e["id"] == "inserted-voice")
    done = examine(FOLDER / entry["file"])
    score = done.entropy.score
    (start, stop), = entry["spliced_s"]
    inside = (score.times_s >= start) & (score.times_s < stop)
    return done, score.values[inside], score.values[~inside], (start, stop)


def test_the_shipped_score_over_time_shows_the_inserted_voice(inserted):
    done, inside, outside, (start, stop) = inserted
    deepest = min(done.finding.regions, key=lambda r: r.mean_score)
    assert start <= (deepest.start_s + deepest.stop_s) / 2 < stop
    assert inside.mean() < outside.mean()


@pytest.mark.xfail(strict=True, reason="the shipped fit orders 79 %; the bound stands until a fit keeps it again")
def test_four_in_five_moments_inside_are_below_those_outside(inserted):
    _, inside, outside, _ = inserted
    assert np.mean(inside[:, None] < outside) > 0.8


def test_the_copy_says_the_same_words_at_the_same_times():
    files = {entry["id"]: read_recording(FOLDER / entry["file"]) for entry in ENTRIES}
    pair = next(entry for entry in ENTRIES if "pair" in entry)
    real, copy = files[pair["pair"]], files[pair["id"]]
    assert len(real.samples) == len(copy.samples)
    levels = [np.sqrt(np.mean(r.samples[: len(r.samples) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
              for r in (real, copy)]
    assert np.corrcoef(*levels)[0, 1] > 0.95
