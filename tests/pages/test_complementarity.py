"""The complementarity page in every state, driven without a browser."""

from __future__ import annotations

import pytest

from tests.factories import sound_bytes, voiced
from tests.tiny_acorl import make_acorl

FIGURES = {"members", "fusion", "overlap", "only-this", "errors", "cka", "accuracy"}


@pytest.fixture(scope="module")
def short() -> bytes:
    return sound_bytes(voiced(3.0, seed=3))


@pytest.fixture(scope="session")
def acorl(tmp_path_factory):
    return make_acorl(tmp_path_factory.mktemp("acorl") / "acorl")


@pytest.fixture(autouse=True)
def installed(acorl, monkeypatch):
    from core.complement import shipped

    monkeypatch.setattr(shipped, "FOLDER", acorl)


@pytest.fixture
def compared(bench, short):
    bench.upload(("voice.wav", short)).go("finding")
    return bench.go("complementarity").settle().settle().settle()


def test_an_empty_page_says_what_to_do(bench):
    bench.go("complementarity")
    assert "No recording is open" in bench.words() and not bench.charts()


def test_the_page_shows_members_fusion_evidence_and_what_was_measured(compared):
    words = compared.words()
    charts = compared.charts()
    assert set(charts) >= FIGURES, set(charts)
    assert "Fused, the members say" in words and "The finding isn't made of this fusion" in words
    assert "Made up for a test." in words and "Errors in common" in words
    lanes = compared.player()["lanes"]
    assert len(lanes) == 4 and all(lane["diverging"] for lane in lanes)
    labels = [e.label for e in compared.at.expander]
    assert sum("Data behind" in label for label in labels) == len(FIGURES)
    for name in FIGURES:
        axes = [a for k, a in charts[name]["layout"].items() if k[1:5] == "axis"]
        assert any(a.get("title", {}).get("text") or a.get("ticktext") for a in axes), name
    marks = {t["marker"].get("pattern", {}).get("shape") for t in charts["fusion"]["data"] if t["type"] == "bar"}
    assert marks <= {"", "/"}, "which way is told by hatching too"


def test_another_member_is_chosen_and_nothing_is_computed_again(compared):
    from core import jobs

    kinds = ("members heard", "members over time", "members' evidence")
    before = {key: job for key, job in jobs._process._jobs.items() if key[0] in kinds}
    box = next(b for b in compared.at.selectbox if b.label == "Member")
    box.set_value("f-InfoED").run()
    compared.settle()
    assert "f-InfoED's evidence" in compared.words()
    compared.go("finding").go("complementarity").settle()
    after = {key: job for key, job in jobs._process._jobs.items() if key[0] in kinds}
    assert before == after and len(before) == 3


def test_the_selection_is_what_is_explained(compared):
    compared.session.recording.selection = (16_000, 32_000)
    compared.at.run()
    compared.settle().settle()
    assert "From 1.00 to 2.00 s" in compared.words() and "as selected" in compared.words()
    compared.session.recording.selection = (16_000, 17_000)
    compared.at.run()
    compared.settle()
    assert any("at least 0.5 s are needed" in e.value for e in [*compared.at.error, *compared.at.info])


def test_without_acorl_the_page_says_so_and_shows_the_rest(bench, short, tmp_path, monkeypatch):
    from core.complement import shipped

    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nothing")
    bench.upload(("voice.wav", short)).go("finding")
    bench.go("complementarity").settle().settle()
    words = bench.words()
    assert "aren't installed" in words and "fusion" not in bench.charts() and "members" in bench.charts()


def test_an_abstained_examination_shows_no_scores_of_it(bench, silence):
    bench.upload(("silence.wav", silence)).go("finding")
    bench.go("complementarity").settle()
    assert "abstained" in bench.words() and not {"members", "fusion", "overlap"} & set(bench.charts())


def test_blind_mode_hides_everything(compared):
    compared.session.blind = True
    compared.go("complementarity")
    assert not compared.charts() and "Listen first" in compared.words()
