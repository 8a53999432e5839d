"""Members heard together say what each says alone; windows; the fusion adds up; damaged folders are refused in words."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch

from core import detectors
from core.complement import shipped as folder
from core.complement.fusion import undecided, waterfall
from core.complement.listen import Said, Voices, listen, sliding, whole
from core.complement.members import PanelMember, members
from core.complement.shipped import FINFOED, FUSION, NETWORKS, PANEL
from core.detectors.acorl import PREFIX
from core.encode import encode
from core.errors import Cancelled, ModelUnavailable
from core.examine import examine
from core.frames import plan_windows


@pytest.fixture
def voices(recording, detector, ours) -> Voices:
    return listen(recording, detector, members(detector, ours), ours)


def test_everyone_is_there_with_a_line_of_their_own(voices, detector):
    keys = [m.key for m in voices.members]
    assert keys == [*NETWORKS, FINFOED, *(PANEL + n for n in detector.panel.names)]
    assert all(m.view and m.title for m in voices.members) and voices.scores.shape == (11, 2)
    assert [m.key for m in voices.members if m.reads_network] == [PANEL + "aasist", PANEL + "maps"]
    assert np.isfinite(voices.llrs).all()


def test_of_the_whole_recording_the_examinations_own_scores_are_taken(recording, places, detector, ours, voices):
    done = examine(recording, model=places.model, device="cpu")
    said = whole(done, detector, members(detector, ours), ours)
    assert [m.key for m in said.members] == [*NETWORKS, FINFOED, *(PANEL + n for n in detector.panel.names)]
    assert said.of(FINFOED) == done.entropy.own_score
    assert all(said.of(PANEL + n) == v for n, v in done.entropy.member_scores.items())
    assert [said.of(n) for n in NETWORKS] == pytest.approx([voices.said.of(n) for n in NETWORKS], abs=1e-5)


def test_together_they_say_what_each_says_alone(voices, recording, detector, ours):
    for i, window in enumerate(voices.windows):
        wav = torch.from_numpy(np.array(recording.samples[window.start : window.stop], np.float32))[None]
        for name in NETWORKS:
            alone = detectors.load(PREFIX + name).window_scores(wav)
            assert voices.scores[[m.key for m in voices.members].index(name), i] == pytest.approx(float(alone), abs=1e-4)
        for member, scores in zip(voices.members, voices.scores, strict=True):
            if member.of_panel:
                one = PanelMember(detector, member.key.removeprefix(PANEL), member.line)
                assert float(one.window_scores(wav)) == pytest.approx(scores[i], abs=1e-4)


def test_the_examinations_states_give_the_same(voices, recording, detector, ours):
    spared = listen(recording, detector, voices.members, ours, encoding=encode(recording, detector))
    assert np.allclose(spared.scores, voices.scores, atol=1e-4)


def test_without_panel_or_alliance_the_others_are_heard(recording, places, ours):
    from core.examine import detector_for

    plain = detector_for(places.plain, "cpu")
    few = listen(recording, plain, members(plain, ours), ours)
    assert [m.key for m in few.members] == [*NETWORKS, FINFOED]
    assert [m.key for m in members(plain, None)] == [FINFOED]


def test_it_can_be_cancelled(recording, detector, ours):
    with pytest.raises(Cancelled):
        listen(recording, detector, members(detector, ours), ours, cancelled=lambda: True)


@pytest.mark.parametrize("n", [1, 8_000, 32_000, 32_001, 60 * 16_000, 3_600 * 16_000])
def test_sliding_windows_cover_everything_and_are_bounded(n):
    windows = sliding(n)
    assert windows[0].start == 0 and windows[-1].stop == n and len(windows) <= 901
    assert all(b.start <= a.stop for a, b in pairwise(windows))
    assert len({w.n_samples for w in windows}) == 1 and (len(windows) <= 242 or windows == plan_windows(n))


# ---- the fusion ----------------------------------------------------------------------------------------------


def test_the_waterfall_adds_up_to_the_fusion_detector(voices, recording, ours):
    made = waterfall(voices.said, ours)
    line = ours.calibrations[FUSION]
    score = float(ours.weight @ [voices.said.of(name) for name in ours.fused] + ours.bias)
    assert made.total == pytest.approx(line.slope * score + line.intercept)
    opinion = detectors.load(PREFIX + FUSION).opinion(recording)
    assert opinion.score == pytest.approx(score, abs=2e-2)
    assert opinion.llr.value == pytest.approx(made.llr.value, abs=2e-2)


def test_members_without_an_opinion_add_nothing(voices, ours):
    made = waterfall(Said(voices.members, np.array([undecided(m) for m in voices.members])), ours)
    assert all(step == pytest.approx(0) for _, step in made.steps) and made.total == pytest.approx(made.start)


# ---- the folder ----------------------------------------------------------------------------------------------


def test_they_are_detectors_like_others(recording, ours):
    names = [PREFIX + name for name in (*NETWORKS, FUSION)]
    assert set(names) <= set(detectors.names())
    digests = {detectors.load(name).content_sha256 for name in names}
    assert len(digests) == 4
    opinion = detectors.load(names[0]).opinion(recording)
    assert opinion.windows == plan_windows(len(recording.samples)) and opinion.llr is not None
    wav = torch.randn(1, 16_000, requires_grad=True)
    detectors.load(names[2]).window_scores(wav).sum().backward()
    assert wav.grad.abs().sum() > 0, "it can be explained"


@pytest.mark.parametrize("damage", ["other-weights", "no-card", "card-without-digests", "missing-file"])
def test_a_damaged_folder_is_refused_in_words(places, tmp_path, monkeypatch, damage):
    broken = shutil.copytree(places.acorl, tmp_path / "acorl")
    if damage == "other-weights":
        shutil.copy(broken / "cepstra.safetensors", broken / "alliance.safetensors")
    elif damage == "missing-file":
        (broken / "calibration-fusion.safetensors").unlink()
    else:
        card = json.loads((broken / "card.json").read_text())
        card.pop("files_sha256")
        (broken / "card.json").write_text(json.dumps(card))
        if damage == "no-card":
            (broken / "card.json").unlink()
    monkeypatch.setattr(folder, "FOLDER", broken)
    with pytest.raises(ModelUnavailable, match=r"acorl|installed"):
        folder.shipped()
    if damage == "no-card":
        assert not [n for n in detectors.names() if n.startswith(PREFIX)]


def test_members_that_contradict_each_other_keep_the_finding_back(recording, places, detector, monkeypatch):
    from core.batch import score_many
    from core.complement import disagreement
    from core.examine import forget, quality_of
    from core.finding import conclude

    monkeypatch.setattr(disagreement, "limit_of", lambda *a: 0.5)
    forget()
    done = examine(recording, model=places.model, device="cpu")
    row = next(c for c in done.finding.checks if c.code == disagreement.CODE)
    assert row.value is not None and 0 <= row.value <= 0.5 and not row.fatal
    monkeypatch.setattr(disagreement, "limit_of", lambda *a: row.value - 1e-3)
    forget()
    held_back = examine(recording, model=places.model, device="cpu").finding
    assert held_back.abstained and [r.code for r in held_back.reasons] == [disagreement.CODE]
    (_, evidence), = score_many([(0, recording, quality_of(recording))], detector)
    listed = conclude(recording, quality_of(recording), evidence, detector)
    assert [r.code for r in listed.reasons] == [disagreement.CODE]
    forget()
