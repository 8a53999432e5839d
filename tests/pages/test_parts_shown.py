"""Where the panel's members contradict each other no number is given, but what contradicts can be seen."""

from __future__ import annotations

import pytest

from core.checks import CheckRow
from tests.factories import sound_bytes, voiced


@pytest.fixture
def disagreeing(monkeypatch):
    row = CheckRow("members-disagree", "Members", 0.49, "share of the evidence", 0.47, False, True, "They contradict.")
    monkeypatch.setattr("core.finding._members_row", lambda entropy, detector: (row,))


def test_the_score_over_time_stays_on_show_where_the_members_disagree(bench, disagreeing):
    bench.upload(("one.wav", sound_bytes(voiced(6.0, seed=71)))).go("finding")
    words = bench.words()
    assert "members-disagree" in words and "log10 LR =" not in words
    assert {lane["id"] for lane in bench.player()["lanes"]} == {"score"}


def test_the_members_are_compared_where_they_disagree(bench, disagreeing):
    bench.upload(("two.wav", sound_bytes(voiced(6.0, seed=72)))).go("complementarity")
    words = bench.words()
    assert "abstained" not in words and "From members to the fusion" not in words


def test_silence_shows_no_scores(bench, silence):
    bench.upload(("silence.wav", silence)).go("finding")
    assert {lane["id"] for lane in bench.player()["lanes"]} != {"score"}
