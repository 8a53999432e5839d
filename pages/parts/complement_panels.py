"""The panels of the complementarity page that speak of this recording: members, their course, fusion, evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core import figures
from core.complement.evidence import Evidence
from core.detectors.agreement import over_time
from core.figures import attribution as maps
from core.figures import complement as drawn
from pages.parts import cache, widgets
from pages.parts.complement_jobs import Heard
from pages.parts.desk import Desk
from pages.parts.player import line_lane

PAPER = "arXiv 2404.15704 (ACoRL)"
HOP_S = 0.25
LEAST_REACH = 0.5  # log10 units that the lanes show either way, or more where a member says more


def members_now(found: Desk, heard: Heard) -> None:
    """Every member's own log10 LR of the whole recording."""
    said = heard.said
    rows = [(m, m.line.apply(float(s))) for m, s in zip(said.members, said.scores, strict=True)]
    figure = figures.detector_llrs([(m.title, v.value, v.low, v.high) for m, v in rows], provenance=found.provenance)
    table = [{"member": m.title, "looks at": m.view, "raw score": round(float(s), 3), "log10 LR": round(v.value, 3),
              "interval, low": round(v.low, 3), "interval, high": round(v.high, 3), "at its bound": v.bounded}
             for (m, v), s in zip(rows, said.scores, strict=True)]
    widgets.chart(figure, "members", table=table, paper=PAPER, about=(
        "each member's own log10 LR of the whole recording, by its own calibration on clips that it hadn't heard; right "
        "of zero is towards bona fide.",
        "agreement isn't independent confirmation: all members learnt from the same clips. A member alone is much more "
        "often wrong than the finding."))


def disagreement_words(found: Desk, heard: Heard) -> str:
    """Whether the panel's members contradict each other, with what that has meant on held-out clips."""
    from core.complement.disagreement import panel_disagreement

    told = panel_disagreement(found.examination.entropy.member_scores, heard.detector)
    if told is None:
        return "Whether members disagree unusually can't be said: this model has no held-out scores of its members."
    measured = ((heard.ours.card.get("disagreement") or {}).get("rows") or []) if heard.ours is not None else []
    words = told.words
    if measured:
        row = measured[0]
        words += (f" On held-out clips beyond this limit the finding pointed the wrong way in "
                  f"{row['wrong_beyond']:.0%}, on the others in {row['wrong_within']:.0%}.")
    return words


def lanes(found: Desk, voices: Any, keys: list[str]) -> list[dict]:
    """One lane per chosen member, all on the same axis: log10 LR of the windows over each moment."""
    n = len(found.recording.samples)
    everyone = enumerate(zip(voices.members, voices.llrs, strict=True))
    shown = [(place, member, over_time(voices.windows, values, n, HOP_S)) for place, (member, values) in everyone
             if member.key in keys]
    reach = 1.06 * max([LEAST_REACH, *(float(np.nanmax(np.abs(curve))) for _, _, curve in shown)])
    return [line_lane(f"member-{place}", member.title, curve, hop_s=HOP_S, start_s=HOP_S / 2, unit="log10 LR", low=-reach,
                      high=reach, diverging=True, above="bona fide ↑", below="spoof ↓", short=member.title[:10])
            for place, member, curve in shown]


def course_table(voices: Any) -> dict[str, list]:
    """Every window of every member."""
    rows = [(m.title, w.start / 16_000, w.stop / 16_000, float(v))
            for m, values in zip(voices.members, voices.llrs, strict=True)
            for w, v in zip(voices.windows, values, strict=True)]
    names = ("member", "from, s", "to, s", "log10 LR, unbounded")
    return {name: [round(r[i], 3) if i else r[0] for r in rows] for i, name in enumerate(names)}


def fusion(found: Desk, heard: Heard) -> None:
    """From the members' scores to the fused LLR."""
    from core.complement.fusion import waterfall

    made = waterfall(heard.said, heard.ours)
    steps = [(m.title, step) for m, step in made.steps]
    figure = drawn.fusion_waterfall(made.start, steps, made.total, made.llr.value, made.bounds,
                                    provenance=found.provenance)
    finding = found.examination.finding
    st.markdown(f"Fused, the members say log10 LR **{widgets.signed(made.llr.value)}** "
                f"[{widgets.signed(made.llr.low)}, {widgets.signed(made.llr.high)}]; the finding says "
                f"**{widgets.signed(finding.llr_log10)}**. The finding isn't made of this fusion.")
    table = [{"term": "all members undecided", "adds, log10": round(made.start, 4)},
             *({"term": name, "adds, log10": round(step, 4)} for name, step in steps),
             {"term": "sum", "adds, log10": round(made.total, 4)},
             {"term": "fused, within its bounds", "adds, log10": round(made.llr.value, 4)}]
    widgets.chart(figure, "fusion", table=table, paper=PAPER, about=(
        "the fusion is a weighted sum, so its answer splits exactly: each bar is how far a member is from its own point "
        "of indecision, times its weight.",
        "a member with a small bar isn't wrong or useless: where others say the same already, the weights leave it "
        "little to add. A negative weight means that a member corrects others."))


# ---- the evidence --------------------------------------------------------------------------------------------


def chosen_keys(heard: Heard) -> tuple[str, ...]:
    """Which members' evidence is mapped: ACoRL's and f-InfoED, and the panel's six where asked for."""
    first = [m.key for m in heard.said.members if not m.of_panel]
    panel = [m.key for m in heard.said.members if m.of_panel]
    if len(first) < 2:
        return (*first, *panel)
    also = bool(panel) and st.toggle("The panel's members too (takes a minute)", key="complement-panel")
    return (*first, *(panel if also else ()))


def evidence(found: Desk, given: Evidence) -> None:
    """Overlap of the maps, each map, and what only one of them uses."""
    dark = widgets.dark()
    names = [m.title for m in given.members]
    key = (*found.key, tuple(names), *given.seconds)
    left, right = st.columns([5, 6], gap="large")
    with left:
        st.markdown("**Attribution overlap**")
        figure = drawn.member_matrix(names, given.overlap, dark=dark, provenance=found.provenance)
        widgets.chart(figure, "overlap", narrow=True, table=matrix_table(names, given.overlap),
                      paper="arXiv 1703.01365 (Integrated Gradients)", about=(
                          "how much of two members' evidence lies in the same cells in this stretch, by Integrated "
                          "Gradients over band levels, compared with mean bona fide speech: 1 for the same places, 0 for "
                          "disjoint ones.",
                          "the same place isn't the same evidence, and evidence in the phases alone isn't on the map. "
                          "Whether a map can be believed is tested on the Attribution page, not here."))
    with right:
        _only(found, given, names, key, dark)
    if given.ragged:
        st.caption("The parts of some maps don't add up to what they explain, so read those with care: "
                   + ", ".join(m.title for m in given.ragged) + ".")
    _maps(found, given, key, dark)


def _only(found: Desk, given: Evidence, names: list[str], key: tuple, dark: bool) -> None:
    st.markdown("**Only this model uses it**")
    default = next((i for i, m in enumerate(given.members) if m.key == "alliance"), 0)
    which = names.index(str(st.selectbox("Member", names, index=default, key="complement-only")))
    cells = given.only(which)
    st.caption(f"{cells.sum():.0%} of {names[which]}'s evidence is more than any other member has in the same place.")
    table = cell_table(given, cells)
    figure = cache.figure("only this", (*key, which, dark), lambda: _drawn(given, cells, False, dark, found.provenance))
    widgets.chart(figure, "only-this", narrow=True, table=table, paper=PAPER, about=(
        "cells where the chosen member's share of evidence exceeds every other member's, by how much.",
        "what only one member uses may be a clue the others miss, or a quirk of that member alone."))


def _maps(found: Desk, given: Evidence, key: tuple, dark: bool) -> None:
    with st.expander("Each member's own map"):
        for member, one in zip(given.members, given.maps, strict=True):
            st.markdown(f"**{member.title}**: {member.view}")
            st.caption(f"log10 LR {widgets.signed(one.score)} here, {widgets.signed(one.baseline_score)} for mean bona "
                       f"fide speech; the parts add up to that difference within {one.error:.0%}.")
            cells = pooled(given, one.values)
            figure = cache.figure("member map", (*key, member.key, dark),
                                  lambda cells=cells: _drawn(given, cells, True, dark, found.provenance))
            st.plotly_chart(figure, key=f"chart-member-{member.key}", width="stretch",
                            config=figures.config(f"earwitness-{member.key}"))
            st.dataframe(cell_table(given, cells), hide_index=True, height=180, key=f"table-member-{member.key}")


def pooled(given: Evidence, values: np.ndarray) -> np.ndarray:
    """A map (R, C) in cells (r, c)."""
    from core.audit.cells import grid_of

    return grid_of(values.shape).pool(values)


def _axes(given: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the cells in seconds [c], their edges in Hz [r + 1]."""
    from core.audit.cells import grid_of

    one = given.maps[0]
    grid = grid_of(one.values.shape)
    first = np.flatnonzero(np.diff(grid.columns, prepend=-1))
    ends = np.append(first[1:], one.values.shape[1])
    rows = np.append(np.flatnonzero(np.diff(grid.rows, prepend=-1)), one.values.shape[0])
    return one.start_s + (first + ends) / 2 * one.hop_s, one.edges_hz[rows]


def _drawn(given: Evidence, cells: np.ndarray, signed: bool, dark: bool, provenance: str) -> Any:
    times, edges = _axes(given)
    figure = maps.attribution_map(cells, given.level, times, edges, hop_s=given.maps[0].hop_s, signed=signed, dark=dark,
                                  provenance=provenance)
    return figure.update_layout(dragmode="zoom")


def cell_table(given: Evidence, cells: np.ndarray, most: int = 500) -> dict[str, list]:
    """The strongest cells as rows."""
    times, edges = _axes(given)
    order = np.argsort(-np.abs(cells), axis=None)[:most]
    rows, columns = np.unravel_index(order, cells.shape)
    keep = cells[rows, columns] != 0
    rows, columns = rows[keep], columns[keep]
    return {"time, s": np.round(times[columns], 3).tolist(), "from, Hz": np.round(edges[rows]).tolist(),
            "to, Hz": np.round(edges[rows + 1]).tolist(), "value": np.round(cells[rows, columns], 5).tolist()}


def matrix_table(names: list[str], values: np.ndarray) -> list[dict[str, Any]]:
    """A matrix with its names."""
    return [{"": a} | {b: round(float(v), 3) for b, v in zip(names, row, strict=True)}
            for a, row in zip(names, values, strict=True)]
