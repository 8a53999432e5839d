"""A workbench with a tiny random detector, driven without a browser. The detector knows nothing about
speech.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import models.registry
from core import examine, jobs
from tests.factories import sound_bytes, voiced
from tests.tiny_detector import make_detector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory) -> Path:
    """A detector whose reference lies around what it gives, so that every panel has something to draw."""
    rng = np.random.default_rng(0)
    centres = np.linspace(14.2, 18.8, 40)
    return make_detector(
        tmp_path_factory.mktemp("models") / "tiny",
        entropy_band_bits=np.array([15.5, 17.2]),
        low_entropy_bits=np.array([17.0]),
        entropy_hist_edges=np.linspace(14, 19, 41),
        entropy_hist_bonafide=np.exp(-0.5 * (centres - 16.6) ** 2),
        entropy_hist_spoof=np.exp(-0.5 * (centres - 16) ** 2),
        rate_distortion=np.abs(rng.normal([1, 0.5], [0.3, 0.15], (60, 2))),
        rd_is_bonafide=np.arange(60) % 2.0,
    )


@pytest.fixture(autouse=True)
def workbench(detector_folder, monkeypatch):
    """The embedded default is the tiny detector; nothing is left over from another test; no warm-up in the
    background.
    """
    from pages.parts import cache

    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(detector_folder))
    monkeypatch.setattr(cache, "warm_up", lambda: None)
    monkeypatch.setattr(jobs, "_process", fresh := jobs.Jobs())
    for name in ("submit", "find", "forget"):
        monkeypatch.setattr(jobs, name, getattr(fresh, name))
    examine.forget()


class Bench:
    """The app under test, with the words of a page in one string."""

    def __init__(self) -> None:
        self.at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()

    @property
    def session(self):
        return self.at.session_state["earwitness"]

    def upload(self, *files: tuple[str, bytes]) -> Bench:
        self.at.switch_page("pages/intake.py").run()
        self.at.file_uploader[0].set_value([(name, body, "audio/wav") for name, body in files]).run()
        return self

    def go(self, page: str) -> Bench:
        """Open a page and run it until no job is under way."""
        self.at.switch_page(f"pages/{page}.py").run()
        return self.settle()

    def settle(self) -> Bench:
        for _ in range(100):
            pending = (
                [job for job in jobs._process._jobs.values() if not job.ended]
                if hasattr(jobs, "_process")
                else []
            )
            if not pending:
                break
            for job in pending:
                job.wait(30)
        time.sleep(0.02)
        self.at.run()
        assert not self.at.exception, [e.message for e in self.at.exception]
        return self

    def words(self) -> str:
        """Everything that can be read on the page and in the sidebar."""
        found = []
        for tree in (self.at.main, self.at.sidebar):
            for kind in (
                "title",
                "subheader",
                "markdown",
                "caption",
                "info",
                "error",
                "warning",
                "text",
                "code",
            ):
                found += [str(e.value) for e in getattr(tree, kind)]
            found += [e.proto.body for e in tree.get("html")]
            found += [e.proto.label for e in tree.get("button")]
        return "\n".join(found)

    def charts(self) -> dict[str, dict]:
        """Figures on the page by name, as plotly JSON."""
        import json

        return {e.proto.id.split("chart-")[-1]: json.loads(e.proto.spec) for e in self.at.get("plotly_chart")}

    def player(self) -> dict:
        """What the player was given."""
        import json

        elements = self.at.get("bidi_component")
        assert len(elements) == 1, "one player on a page"
        return json.loads(elements[0].proto.json)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def voice() -> bytes:
    """Six seconds that pass every check."""
    return sound_bytes(voiced(6.0, seed=3))


@pytest.fixture(scope="session")
def silence() -> bytes:
    """Three seconds that hold nothing."""
    return sound_bytes(np.zeros(48_000, np.float32))
