"""The attribution page in every state, driven without a browser."""

from __future__ import annotations

import pytest


@pytest.fixture
def explained(bench, voice):
    """A bench with the page open on six seconds of voice, map and audit done."""
    bench.upload(("voice.wav", voice)).go("finding")
    return bench.go("attribution").settle().settle()


def test_the_page_shows_map_verdict_sound_and_tests(explained):
    words = explained.words()
    assert "The map has most per second between" in words
    assert "Not reliable here" in words or "passes every test" in words or any(
        "passes" in s.value for s in explained.at.success)
    print(words); print(explained.charts().keys())
