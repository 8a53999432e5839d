"""A data folder of its own for every test, and nothing loaded or heard before."""

from __future__ import annotations

import pytest

from core.detectors import clip, loading


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("EARWITNESS_HOME", str(home))
    clip.forget()
    loading.forget_networks()
    return home


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Ten clips of each kind."""
    from tests.core.detectors.tiny import labelled_folder

    return labelled_folder(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="session", params=["aasist", "ast", "wav2vec2", "hubert", "wavlm"])
def checkpoint(request, tmp_path_factory):
    """(family, what to load) of each family; logit 1 is bona fide and nothing says so."""
    from tests.core.detectors.tiny import save_tiny

    return request.param, save_tiny(tmp_path_factory.mktemp(request.param) / "model", request.param)
