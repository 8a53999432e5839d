"""The list of what goes wrong: the right names, the right clips, no luck of small numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.training.worst import to_card, wilson, worst
from core.validation import HeldOutScores


def held() -> HeldOutScores:
    """Good, bad and tiny systems; a bona fide source that is taken for synthetic."""
    rng, rows = np.random.default_rng(0), []

    def add(n, label, system, source, mean):
        for _ in range(n):
            i = len(rows)
            rows.append({"clip": f"c{i}", "label": label, "system": system, "source": source, "family": "tts",
                         "file": f"wavs/{i}.wav", "score": mean + rng.normal()})

    add(200, "bonafide", "recording", "clean speech", 2.0)
    add(40, "bonafide", "recording", "old tapes", -3.0)
    add(200, "spoof", "easy", "page", -4.0)
    add(60, "spoof", "hard", "page", 5.0)
    add(1, "spoof", "tiny", "page", 9.0)
    return HeldOutScores.from_rows(rows)


def test_the_worst_come_first_and_small_numbers_do_not_win():
    systems, sources = worst(held())
    assert [w.name for w in systems[:2]] == ["hard", "tiny"] and sources[0].name == "old tapes"
    assert systems[0].share == 1.0 == systems[1].share and systems[0].low > 0.9 > 0.3 > systems[1].low
    assert systems[0].eer > 0.8 and sources[0].eer is None and systems[0].family == "tts"


def test_examples_are_the_most_misleading_clips_with_their_place():
    systems, sources = worst(held(), examples=3)
    table = held()
    hard = np.sort(table.score[table.system == "hard"])[::-1]
    assert [e.score for e in systems[0].examples] == pytest.approx(hard[:3])
    tapes = np.sort(table.score[table.source == "old tapes"])
    assert [e.score for e in sources[0].examples] == pytest.approx(tapes[:3])
    assert systems[0].examples[0].source == "page" and systems[0].examples[0].file.startswith("wavs/")


def test_nothing_wrong_gives_no_list():
    rows = [{"clip": f"{i}", "label": ("bonafide", "spoof")[i % 2], "system": "s", "source": "r",
             "score": float(-(i % 2) - i / 100)} for i in range(20)]
    assert worst(HeldOutScores.from_rows(rows)) == ([], [])
    card = to_card(HeldOutScores.from_rows(rows))
    assert card["systems"] == [] == card["bona_fide_sources"]


def test_the_card_is_plain_json():
    card = to_card(held())
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["systems"][0]["listen"][0].keys() == {"clip", "score", "source", "file", "system"}


@pytest.mark.parametrize(("wrong", "n", "low", "high"),
                         [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)])
def test_wilson_by_the_book(wrong, n, low, high):
    assert wilson(wrong, n) == pytest.approx((low, high), abs=1e-3)
