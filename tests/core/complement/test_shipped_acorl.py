"""What is shipped: its files are those of its card, and the card's figures follow from the held-out scores beside it."""

from __future__ import annotations

import numpy as np
import pytest

from core import metrics
from core.complement import shipped as folder
from core.complement.shipped import FINFOED, HELD_OUT, NETWORKS
from core.validation import HeldOutScores
from models.acorl import VIEWS

SHIPPED = folder.Path(folder.__file__).resolve().parents[2] / "models" / "weights" / "acorl-tiny"


@pytest.fixture
def real(monkeypatch):
    monkeypatch.setattr(folder, "FOLDER", SHIPPED)
    return folder.shipped()


def test_networks_look_at_the_rows_that_the_card_names(real):
    for name in NETWORKS:
        config = real.networks[name].config
        assert (config.first, config.rows) == VIEWS[name]
        assert real.card["views"][name] == {"first_row": config.first, "rows": config.rows}
    assert set(real.fused) == {*NETWORKS, FINFOED} and (real.weight > 0).all()


def test_the_cards_rates_follow_from_the_held_out_scores(real):
    table = HeldOutScores.read(SHIPPED / HELD_OUT)
    rates = {name: real.card["members"][name] for name in ("cepstra", "excitation", FINFOED)}
    rates["alliance"] = real.card["alliance"]["0"]
    for name, told in rates.items():
        assert metrics.eer(*table.split(table.others[name]))[0] == pytest.approx(told["eer_pooled"]["value"], abs=1e-4)
    fused = real.card["fusion"]["acorl"]["0"]
    assert metrics.eer(*table.split())[0] == pytest.approx(fused["eer_pooled"]["value"], abs=1e-4)
    b, s = table.split(table.llr_log10)
    assert metrics.cllr(b, s) == pytest.approx(fused["cllr"]["value"], abs=5e-3)


def test_the_page_beside_the_card_is_made_from_it(real):
    from core.training.acorl_page import page

    words = (SHIPPED / "CARD.md").read_text(encoding="utf-8")
    assert words == page(real.card) and real.card["result"] in words


def test_three_seeds_were_compared_and_the_sentence_follows(real):
    from core.training.acorl_card import result

    assert len(real.card["acorl_less_plain"]) == 3 and real.card["result"] == result(real.card)
    rates = [real.card["fusion"][k][s]["eer_pooled"]["value"] for k in ("acorl", "plain") for s in "012"]
    assert np.ptp(rates) > 0
