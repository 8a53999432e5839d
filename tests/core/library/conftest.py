"""One tiny detector, twelve made-up clips and a library of them, for all tests here."""

from __future__ import annotations

import shutil

import pytest

from core.library import Library
from models.registry import load_detector
from tests.tiny_detector import make_detector
from tests.tiny_library import fill, make_clips


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    return load_detector(make_detector(tmp_path_factory.mktemp("tiny") / "tiny"), "cpu")


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def built(tmp_path_factory, clips, detector):
    folder = tmp_path_factory.mktemp("library") / "built"
    fill(folder, clips, detector)
    return folder


@pytest.fixture(scope="session")
def library(built):
    return Library(built)


@pytest.fixture
def copy(built, tmp_path):
    """A library that a test may change."""
    return shutil.copytree(built, tmp_path / "copy")
