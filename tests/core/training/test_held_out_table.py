"""The table beside the weights: every scored clip once, LRs by calibrations that never heard its source."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from core.training.corpus import Clip
from core.training.held_out_table import cross_validated_llrs, held_out_table, manifest_facts, write_table
from core.training.measure import HeldOut, whole_figures
from core.validation import HeldOutScores


def clips(n: int = 120) -> tuple[list[Clip], dict[str, float]]:
    rng = np.random.default_rng(0)
    systems = ("recording", "s1", "recording", "s2")
    made = [Clip(f"c{i}", f"audio/{i}.flac", ("bonafide", "spoof")[i % 2], systems[i % 4], ("human", "tts")[i % 2],
                 f"p{i % 7}" if i % 2 == 0 else "", f"r{i % 3}", language="en") for i in range(n)]
    return made, {c.clip: float(rng.normal(1 if c.bonafide else -1)) for c in made}


def test_every_scored_clip_is_in_the_table_once():
    every, scores = clips()
    del scores["c5"]
    held = held_out_table(every, scores, others={"peer": {"c0": 1.5}},
                          facts={"c0": {"duration_s": "2.5", "rate_hz": "8000", "codec": "WAV", "file": "there/0.wav"}})
    assert sorted(held.clip) == sorted(scores) and held.has_llr
    assert (held.duration_s[0], held.rate_hz[0], held.codec[0], held.file[0]) == (2.5, 8000, "WAV", "there/0.wav")
    assert held.file[1] == "audio/1.flac" and np.isnan(held.duration_s[1])
    assert held.others["peer"][0] == 1.5 and np.isnan(held.others["peer"][1:]).all()


def test_a_sources_own_scores_do_not_move_its_likelihood_ratios():
    every, scores = clips()
    llr = cross_validated_llrs(HeldOut(every, scores))
    moved = {c.clip: scores[c.clip] - 3 * (not c.bonafide and c.source == "r0") for c in every}
    other = cross_validated_llrs(HeldOut(every, moved))
    same = np.array([c.source == "r0" and c.bonafide for c in every])
    assert other[same] == pytest.approx(llr[same]), "the calibration of r0 never saw r0"
    assert not np.allclose(other[~same], llr[~same])


def test_likelihood_ratios_can_be_given():
    every, scores = clips(12)
    assert held_out_table(every, scores, llr=dict.fromkeys(scores, 0.25)).llr_log10.tolist() == [0.25] * 12


def test_facts_come_from_the_manifest(tmp_path):
    assert manifest_facts(tmp_path) == {}
    (tmp_path / "manifest.csv").write_text("clip,file,seconds,source_path\na,x.flac,1.5,\nb,y.flac,,z.wav\n")
    facts = manifest_facts(tmp_path)
    assert facts["a"] == {"duration_s": "1.5", "rate_hz": "", "codec": "", "file": "x.flac"}
    assert facts["b"]["file"] == "z.wav"


def test_the_card_names_the_table_by_its_digest(tmp_path):
    every, scores = clips()
    entry = write_table(held_out_table(every, scores), tmp_path)
    assert entry["sha256"] == hashlib.sha256((tmp_path / entry["file"]).read_bytes()).hexdigest()
    assert len(HeldOutScores.read(tmp_path / entry["file"])) == 120


def _partly(n: int = 200, gap: float = 1.5, scale: float = 1.0, seed: int = 0) -> list[dict]:
    """Hosts and hybrids; clip score and lowest frames each tell them by ``gap`` with errors of their own."""
    rng = np.random.default_rng(seed)
    return [{"clip": scale * (a - gap), "host_clip": scale * b, "frames": np.full(10, c - gap),
             "host_frames": np.full(10, d)}
            for a, b, c, d in rng.standard_normal((n, 4))]


def test_a_part_is_told_best_by_both_kinds_of_evidence_whatever_the_unit_of_either():
    found = whole_figures(_partly())
    alone = [found[f"whole_by_{name}"]["value"] for name in ("clip_score", "lowest_frames")]
    assert found["whole_by_both"]["value"] < min(alone) - 0.02
    assert found["whole_by_both"]["clip_score_worse_by"]["low"] > 0
    again = whole_figures(_partly(scale=40.0))
    assert again["whole_by_both"]["value"] == found["whole_by_both"]["value"]
    assert again["whole_by_both"]["share"] * 40 == pytest.approx(found["whole_by_both"]["share"], rel=0.01)


def test_one_untouched_recording_in_twenty_lies_below_the_limit():
    given = _partly()
    both = whole_figures(given)["whole_by_both"]
    hosts = np.array([h["host_frames"][0] + both["share"] * h["host_clip"] for h in given])
    assert np.mean(hosts < both["limit"]) == pytest.approx(0.05, abs=0.011)
