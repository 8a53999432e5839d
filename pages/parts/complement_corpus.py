"""The panels of the complementarity page that speak of held-out clips: likeness of members, accuracy, the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core.complement.members import VIEWS, title
from core.complement.tables import cka_matrix, error_matrix, joined
from core.figures import complement as drawn
from pages.parts import widgets
from pages.parts.complement_jobs import Heard
from pages.parts.complement_panels import PAPER, matrix_table

RATES = ("leave-source-out", "EER pooled", "EER, mean over systems", "Cllr")
FUSED = (("acorl", "members and alliance fused (ACoRL)"), ("plain", "members and plain network fused"))
ORDER = ("cepstra", "excitation", "f-infoed", "alliance")


def likeness(heard: Heard) -> None:
    """Matrices of error correlation and of linear CKA."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Errors in common**")
        found = joined(heard.detector, heard.ours)
        if found is None:
            st.info("There are no held-out scores beside this model, so errors can't be compared.")
        else:
            keys, matrix = _in_order(*error_matrix(found))
            _matrix(keys, matrix, "errors", True, f"{len(found.clip):,} held-out clips · {_command(heard)}", (
                "correlation of being wrong on the same clips, each member at its own threshold of equal error rates: 1 "
                "for the same errors, 0 for unrelated ones. Members that err apart are worth fusing.",
                "a low correlation isn't a low error rate: a coin's errors correlate with nobody's."),
                "Kuncheva and Whitaker 2003, Machine Learning 51")
    with right:
        st.markdown("**Representations in common** (linear CKA)")
        known = None if heard.ours is None else cka_matrix(heard.ours.card)
        if known is None:
            st.info("The likeness of representations wasn't measured for what is installed here.")
        else:
            windows = f"{heard.ours.card['cka']['windows']:,} held-out windows"
            _matrix(*_in_order(*known), "cka", False, f"{windows} · {_command(heard)}", (
                "likeness of what two members make of the same windows, up to rotation and scale: 1 for the same "
                "geometry, near 0 for unrelated ones.",
                "two members can represent much in common and still decide by what they don't share."),
                "Kornblith et al. 2019, arXiv 1905.00414")


def _in_order(keys: tuple[str, ...], matrix: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Members in the order of ``core.complement.members.VIEWS``, others last."""
    known = list(VIEWS)
    order = sorted(range(len(keys)), key=lambda i: known.index(keys[i]) if keys[i] in known else len(known))
    return tuple(keys[i] for i in order), matrix[np.ix_(order, order)]


def _matrix(keys: tuple[str, ...], matrix: np.ndarray, name: str, signed: bool, provenance: str,
            about: tuple[str, str], paper: str) -> None:
    names = [title(k) for k in keys]
    figure = drawn.member_matrix(names, matrix, signed=signed, dark=widgets.dark(), provenance=provenance)
    widgets.chart(figure, name, narrow=True, table=matrix_table(names, matrix), about=about, paper=paper)


def _command(heard: Heard) -> str:
    return "python -m core acorl evaluate" if heard.ours is not None else "python -m core evaluate"


def accuracy(heard: Heard) -> None:
    """Whether complementary training pays: error rate by number of models, the table, the verdict in words."""
    card = heard.ours.card
    st.markdown(card["result"])
    panel = (card.get("against_the_panel") or {}).get("panel", {}).get("eer_pooled")
    rows = card["number_of_models"]
    clips = sum(card["members"]["cepstra"]["eer_pooled"][k] for k in ("bona_fide", "spoof"))
    figure = drawn.accuracy_by_models(rows, panel, provenance=f"{clips:,} clips, leave-source-out · {_command(heard)}")
    table = [{"fused models": r["models"], "what": drawn.KINDS[r["kind"]][0], "EER, %": round(100 * r["eer"], 2),
              "lowest choice of seeds, %": round(100 * r["low"], 2),
              "highest, %": round(100 * r["high"], 2)} for r in rows]
    widgets.chart(figure, "accuracy", table=table, paper=PAPER, about=(
        "pooled equal error rate of fusions on sources that no model of them had heard: first the three members, one "
        "after the other, then with one to three further networks. Whiskers: lowest and highest over the choices of "
        "seeds.",
        "the whiskers aren't confidence intervals; those are in the table below and are several times as wide. Recipes "
        "were settled while looking at these clips."))
    widgets.table(RATES, _rates(card), numeric=(1, 2, 3))
    with st.expander("Every network by itself, and other ways of fusing"):
        widgets.table(RATES, _more_rates(card), numeric=(1, 2, 3))
    st.caption(f"{card['protocol']} 95 % intervals in brackets. Numbers: {heard.ours.folder.name}/card.json; made by "
               f"`{card['command']}`.")
    _differences(card)


def _rates(card: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = [(title(name), card["members"][name]) for name in ORDER[:3]]
    rows += [("the three members fused", card["members_fused"])]
    for kind, words in FUSED:
        rows += [(f"{words}, seed {seed}", values) for seed, values in card["fusion"][kind].items()]
    rows += [("four plain networks fused", card["four_plain_networks"])]
    theirs = card.get("against_the_panel") or {}
    rows += [(words, theirs[key]) for key, words in (("panel", "the panel that gives the finding"),
                                                     ("panel_and_fusion", "the panel and ACoRL's fusion added"))
             if key in theirs]
    return [_rate(words, v) for words, v in rows]


def _more_rates(card: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for kind, words in (("alliance", "alliance (ACoRL)"), ("plain_network", "the same network, plain")):
        rows += [(f"{words}, seed {seed}", values) for seed, values in card[kind].items()]
    for place, how in (("logistic_fusion", "logistic"), ("late_fusion", "by representations")):
        for kind, words in FUSED:
            rows += [(f"{words}, {how}, seed {seed}", values) for seed, values in card[place][kind].items()]
    return [_rate(words, v) for words, v in rows]


def _rate(words: str, v: dict[str, Any]) -> tuple[str, ...]:
    return (words, _percent(v["eer_pooled"]), _percent(v["eer_macro"]), _plain(v["cllr"]) if "cllr" in v else "–")


def _percent(v: dict[str, float]) -> str:
    return f"{100 * v['value']:.1f} % [{100 * v['low']:.1f}, {100 * v['high']:.1f}]"


def _plain(v: dict[str, float]) -> str:
    return f"{v['value']:.2f} [{v['low']:.2f}, {v['high']:.2f}]"


def _differences(card: dict[str, Any]) -> None:
    """ACoRL less plain per seed, and the control over eta."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**ACoRL less plain fusion, same seed**")
        widgets.table(("seed", "difference of pooled EER"),
                      [(seed, _points(v)) for seed, v in card["acorl_less_plain"].items()], numeric=(1,))
        st.caption("Points of EER on the same resampled speakers and systems; negative favours ACoRL.")
    with right:
        st.markdown("**By strength of the adversary (seed 0)**")
        widgets.table(("eta", "alone", "fused with the members", "members' variance it still explains"),
                      [(f"{r['eta']:g}", f"{100 * r['alone']['value']:.1f} %", f"{100 * r['fused']['value']:.1f} %",
                        f"{r['r2_members_from_it']:.2f}") for r in card["eta"]], numeric=(1, 2, 3))
        st.caption("Eta 0 is plain training. The last column: R² of a ridge regression on held-out windows, mean "
                   "over the members.")


def _points(v: dict[str, float]) -> str:
    return f"{100 * v['value']:+.1f} [{100 * v['low']:+.1f}, {100 * v['high']:+.1f}]".replace("-", "−")
