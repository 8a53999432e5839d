"""Which runs an evaluation makes: what is asked for, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidOption
from core.training import runs
from core.training.cli import _ablations
from core.training.corpus import FOLDS
from core.training.loop import Recipe

KNOWN = ["no-adapters", "mean-head"]


def test_ablations_have_one_seed_unless_told_otherwise():
    assert _ablations("", KNOWN) == {}
    assert _ablations("mean-head,no-adapters:3", KNOWN) == {"mean-head": 1, "no-adapters": 3}


@pytest.mark.parametrize("text", ["nothing", "no-adapters:0", "no-adapters:x", "no-adapters:-1", ":3"])
def test_an_ablation_that_makes_no_sense_is_named(text):
    with pytest.raises(InvalidOption, match=text.partition(":")[0] or "Unknown"):
        _ablations(text, KNOWN)


def test_runs_that_are_there_are_not_repeated(tmp_path: Path, monkeypatch):
    known = runs.variants(Recipe())
    for name in ("finfoed", "no-adapters"):
        for fold in range(len(FOLDS)):
            path = runs.run_path(tmp_path, name, 0, fold)
            path.parent.mkdir(exist_ok=True)
            path.touch()
    monkeypatch.setattr(runs, "processes", lambda *_: pytest.fail("a run was started"))
    runs.run_all(tmp_path, [], tmp_path, {"finfoed": 1, "no-adapters": 1}, known, 2, print)
