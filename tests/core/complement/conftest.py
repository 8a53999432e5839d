"""A detector with a panel and held-out scores, and ACoRL's folder, all of tiny random networks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.commands.speechlike import speechlike, wav_bytes
from core.complement.shipped import PANEL
from tests.core.test_panel_decides import with_panel
from tests.tiny_acorl import held_out_rows, make_acorl


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> SimpleNamespace:
    """Folders: model with a panel, model without, ACoRL."""
    from models.panel import Panel
    from tests.tiny_detector import make_detector

    root = tmp_path_factory.mktemp("complement")
    model = with_panel(root / "tiny")
    held_out_rows(tuple(PANEL + name for name in Panel().names), seed=1).write(model / "validation.csv")
    return SimpleNamespace(model=model, plain=make_detector(root / "plain"), acorl=make_acorl(root / "acorl"))


@pytest.fixture(autouse=True)
def installed(places, monkeypatch):
    """The default model is the tiny one and ACoRL's folder the tiny one's."""
    import models.registry
    from core.complement import shipped

    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(places.model))
    monkeypatch.setattr(shipped, "FOLDER", places.acorl)


@pytest.fixture
def detector(places):
    from core.examine import detector_for

    return detector_for(places.model, "cpu")


@pytest.fixture
def ours():
    from core.complement.shipped import shipped

    return shipped()


@pytest.fixture(scope="session")
def recording():
    from core.audio import read_recording

    return read_recording(wav_bytes(speechlike(5.0)), "five.wav")
