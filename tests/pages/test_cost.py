"""What pages cost: nothing is computed twice, page changes are quick, payloads are bounded, caches never
mix up.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.factories import sound_bytes, voiced

PAGES = ("intake", "finding", "frame_entropy")
ROOT = Path(__file__).parents[2]


def test_nothing_is_computed_twice(bench, voice, monkeypatch):
    import core.encode

    runs, real = [], core.encode.encode
    monkeypatch.setattr(core.encode, "encode", lambda *a, **k: (runs.append(1), real(*a, **k))[1])
    bench.upload(("voice.wav", voice)).go("finding")
    for page in (*PAGES, *PAGES):
        bench.go(page)
    bench.upload(("same under another name.wav", voice)).go("finding")
    assert runs == [1]


def test_changing_pages_on_a_computed_case_is_quick(bench, voice):
    bench.upload(("voice.wav", voice))
    for page in PAGES:
        bench.go(page)
    slowest = 0.0
    for page in PAGES:
        began = time.perf_counter()
        bench.at.switch_page(f"pages/{page}.py").run()
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.3 * 3, "300 ms on an idle machine"


def test_switching_between_recordings_keeps_each_ones_own_sound(bench):
    """Two recordings of one length that differ in the middle only: neither cache nor media file may mix them
    up.
    """
    one = voiced(40.0, seed=5)
    two = one.copy()
    two[320_000:320_400] = 0.5
    bench.upload(("one.wav", sound_bytes(one)), ("two.wav", sound_bytes(two))).settle()
    seen = {}
    for digest in bench.session.opened:
        bench.at.sidebar.selectbox[0].set_value(digest).run()
        data = bench.player()
        assert data["id"] == digest
        seen[digest] = (data["reels"][0]["url"], data["overview"]["image"])
    assert len({url for url, _ in seen.values()}) == 2
    assert len({image for _, image in seen.values()}) == 2


def test_what_somebody_else_called_the_same_bytes_is_never_shown(bench, voice):
    import json

    bench.upload(("client secret.wav", voice)).go("finding")
    other = type(bench)()
    other.upload(("exhibit 7.wav", voice))
    for page in PAGES:
        other.go(page)
        assert "exhibit 7.wav" in other.words() and "client secret" not in other.words()
        assert "client secret" not in json.dumps(other.charts())


def test_a_lane_of_an_hour_is_bounded():
    import json

    from pages.parts.player import image_lane, line_lane

    frames = 180_000
    line = line_lane("e", "E", np.random.default_rng(0).normal(size=frames), hop_s=0.02, start_s=0.01)
    image = image_lane("m", "M", np.zeros((frames, 64), np.float16), hop_s=0.02, start_s=0.01)
    assert len(json.dumps(line)) < 250_000 and len(json.dumps(image)) < 200_000
    assert line["hop_s"] * (len(line["values"]) * 3 / 4 / 4) == pytest.approx(3600, rel=0.01)
    assert image["hop_s"] * image["columns"] == pytest.approx(3600, rel=0.01)


def test_the_sound_of_a_long_recording_comes_in_reels_around_what_is_wanted():
    from types import SimpleNamespace

    from pages.parts import player
    from pages.parts.cache import REEL
    from pages.parts.state import Opened

    recording = SimpleNamespace(samples=np.zeros(int(2.5 * REEL), np.float32))
    spans = {}
    for wanted in (0, REEL - 1, REEL, int(2.2 * REEL)):
        reels = player._reels(recording, Opened("0" * 64, "long.wav", wanted=wanted))
        assert any(r["start"] <= wanted < r["start"] + r["n"] for r in reels)
        assert all(r["start"] % 160_000 == 0 for r in reels), "whole pieces, as the player fetches them"
        spans[wanted] = [(r["start"], r["n"]) for r in reels]
    assert spans[int(2.2 * REEL)] == [(2 * REEL, REEL // 2)]
    assert spans[0] == [(0, REEL), (REEL, REEL)]


def test_the_first_page_needs_no_heavy_library():
    """Torch and its like are loaded in the background after the first page, never for it."""
    import subprocess
    import sys

    code = (
        "import sys; from pages.parts import cache; cache.warm_up = lambda: None\n"
        "from streamlit.testing.v1 import AppTest\n"
        "at = AppTest.from_file('app.py', default_timeout=60).run()\n"
        "assert not at.exception and at.title[0].value == 'Intake'\n"
        "print([name for name in ('torch', 'transformers', 'librosa') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr[-2000:]
