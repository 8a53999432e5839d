"""A model card is read as it is: what was measured is shown, what was not is not made up."""

from __future__ import annotations

import pytest

from core.model_card import ROWS, error_rates


@pytest.mark.parametrize(
    "card", [{}, {"metrics": None}, {"metrics": {}}, {"metrics": {"seconds": 12.0, "note": "x"}}]
)
def test_a_silent_card_gives_no_rows(card):
    assert error_rates(card) == []


def test_values_and_intervals_in_words():
    card = {
        "metrics": {
            "leave_source_out": {
                "eer_pooled": {"value": 0.213, "low": 0.19, "high": 0.24},
                "cllr": {"value": 0.71, "interval": [0.66, 0.78]},
            }
        }
    }
    assert error_rates(card) == [
        ("leave source out EER pooled", "21.3 %", "19.0 % – 24.0 %"),
        ("leave source out Cllr", "0.71", "0.66 – 0.78"),
    ]


def test_the_table_stays_short():
    assert len(error_rates({"metrics": {f"eer_{i}": 0.1 for i in range(50)}})) == ROWS
