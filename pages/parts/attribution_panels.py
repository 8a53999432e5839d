"""The panels of the attribution page: the map, its profiles, what can be heard of it, and its audit."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import streamlit as st

from core.attribute import profile
from core.attribute.audition import Audition, Box
from core.attribute.methods import METHODS
from core.attribute.run import Map
from core.audit.cells import grid_of, level_map
from core.audit.curves import SHARES
from core.figures import attribution as drawn
from core.jobs import Job
from core.segments import Segment
from core.spectrum import pcm16
from pages.parts import cache, widgets
from pages.parts.desk import Desk
from pages.parts.player import image_lane, line_lane
from pages.parts.stretches import stretches

KINDS = {"spoof": -1, "bona fide": 1, "either way": 0}


def cells(posed: Any, given: Map) -> dict[str, np.ndarray]:
    """The map in the cells that the audit uses: values (r, c), times (c,), edges in Hz (r + 1,); and the level at the
    map's own resolution, (R, C)."""
    grid = grid_of(given.values.shape)
    level = np.full(given.values.shape, np.nan)
    for problem, window in zip(posed.problems, posed.windows, strict=True):
        first = round((window.start / 16_000 - given.start_s) / given.hop_s)
        seen = level_map(problem)
        seen = seen if given.plane in ("log-mel", "levels") else 10 * np.log10(seen + 1e-10)
        level[:, first : first + seen.shape[1]] = seen
    level = np.where(np.isnan(level), np.nanmin(level), level)
    columns = np.flatnonzero(np.diff(grid.columns, prepend=-1))
    ends = np.append(columns[1:], given.values.shape[1])
    rows = np.append(np.flatnonzero(np.diff(grid.rows, prepend=-1)), given.values.shape[0])
    return {"values": grid.pool(given.values), "level": level,
            "times": given.start_s + (columns + ends) / 2 * given.hop_s, "edges": given.edges_hz[rows]}


def lanes(pooled: dict[str, np.ndarray], duration_s: float, unit: str) -> list[dict]:
    """The player's lanes: which way over time, and how much over time and frequency. Empty where nothing was mapped."""
    hop = 0.05
    n = max(1, round(duration_s / hop))
    line, image = np.full(n, np.nan, np.float32), np.zeros((n, pooled["values"].shape[0]), np.float32)
    places = np.clip(np.floor(pooled["times"] / hop).astype(int), 0, n - 1)
    line[places] = pooled["values"].sum(0)
    image[places] = np.sqrt(np.abs(pooled["values"].T[:, ::-1]))
    made = [line_lane("attribution", "Attribution over time", line, hop_s=hop, start_s=hop / 2, unit=unit,
                      diverging=True, above="bona fide ↑", below="spoof ↓", short="attr.",
                      **_reach(line))]
    if image.shape[1] > 1:
        made.append(image_lane("attribution-map", "How much, over time and frequency", image, hop_s=hop,
                               start_s=hop / 2, top_label="8 kHz", bottom_label="0",
                               note="further from the background = moves the score more, either way"))
    return made


def _reach(line: np.ndarray) -> dict[str, float]:
    top = float(np.nanmax(np.abs(line), initial=0.0)) or 1.0
    return {"low": -1.06 * top, "high": 1.06 * top}


def map_figure(found: Desk, key: tuple, given: Map, pooled: dict, *, signed: bool, spans: tuple, unit: str) -> Box | None:
    """The map over its spectrogram; returns the box drawn on it, in seconds and Hz."""
    from core.figures.template import config

    dark = widgets.dark()
    figure = cache.figure("attribution map", (*key, signed, dark, spans), lambda: drawn.attribution_map(
        pooled["values"], pooled["level"], pooled["times"], pooled["edges"], hop_s=given.hop_s, signed=signed, dark=dark,
        spans=[s for s in spans if s[0] < given.stop_s and s[1] > given.start_s], provenance=found.provenance))
    options = config("earwitness-attribution")
    options["modeBarButtonsToRemove"] = [b for b in options["modeBarButtonsToRemove"] if b != "select2d"]
    event = st.plotly_chart(figure, key=f"chart-attribution-{sha256(repr(key).encode()).hexdigest()[:16]}",
                            width="stretch", config=options, on_select="rerun", selection_mode="box")
    method = METHODS[given.method]
    left, right = st.columns(2)
    with left.expander("Data behind this figure"):
        st.dataframe(cache.figure("attribution table", key, lambda: table(pooled, unit)), hide_index=True, height=260)
    with right:
        widgets.teach(f"{method.title} {method.computes} Shown in cells of about four mel bands by 50 ms.",
                      "bright isn't wrong or fake: it is where this detector takes its evidence from, right or not. "
                      "Whether even that can be believed is what the tests below measure.", paper=method.paper)
    return _box(event, pooled["edges"])


def _box(event: Any, edges: np.ndarray) -> Box | None:
    boxes = event["selection"]["box"] if event else []
    if not boxes:
        return None
    x, y = sorted(boxes[-1]["x"]), sorted(boxes[-1]["y"])
    hz = np.interp(y, np.arange(len(edges)) - 0.5, edges)
    return Box(round(float(x[0]), 3), round(float(x[1]), 3), round(float(hz[0]), 1), round(float(hz[1]), 1))


def table(pooled: dict[str, np.ndarray], unit: str) -> dict[str, list]:
    """Every cell as a row, strongest first, at most 3,000."""
    values = pooled["values"]
    order = np.argsort(-np.abs(values), axis=None)[:3_000]
    rows, columns = np.unravel_index(order, values.shape)
    return {"time, s": np.round(pooled["times"][columns], 3).tolist(),
            "from, Hz": np.round(pooled["edges"][rows]).tolist(), "to, Hz": np.round(pooled["edges"][rows + 1]).tolist(),
            f"attribution, {unit}": np.round(values[rows, columns], 5).tolist(),
            "which way": np.where(values[rows, columns] > 0, "bona fide", "spoof").tolist()}


# ---- where, in numbers -------------------------------------------------------------------------------------


def places(found: Desk, given: Map, pooled: dict, key: tuple, unit: str) -> None:
    """Strongest stretches, and the profile over frequency."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Strongest stretches")
        rows = cache.figure("attribution stretches", key, lambda: profile.strongest(given))
        stretches(found, [Segment(s.start_s, s.stop_s, f"{s.share:.0%} of the map, towards "
                                  + ("bona fide" if s.total > 0 else "spoof"), s.total, unit) for s in rows],
                  key="attribution", empty="No stretch stands out.")
    with right:
        if given.values.shape[0] > 1:
            _bands(found, given, pooled, key, unit)


def _bands(found: Desk, given: Map, pooled: dict, key: tuple, unit: str) -> None:
    st.subheader("Over frequency")
    figure = cache.figure("attribution bands", key, lambda: drawn.attribution_profiles(
        pooled["values"], pooled["edges"], unit, provenance=found.provenance))
    widgets.chart(figure, "attribution-bands", narrow=True, paper=METHODS[given.method].paper,
                  table=[{"band": b, "share of the map": round(s, 3), f"sum, {unit}": round(v, 4)}
                         for b, s, v in profile.band_shares(given)],
                  about=("how far each band moves the score, summed over the explained stretch.",
                         "a long bar isn't a fault in that band; parts for and against cancel inside every bar."))


# ---- to hear it --------------------------------------------------------------------------------------------


def part_choice(box: Box | None) -> Box | tuple[float, int]:
    """Which part is to be heard: the box drawn on the map, or the strongest cells."""
    if box is not None:
        st.markdown(f"**The box:** {box.start_s:.2f}–{box.stop_s:.2f} s, {box.low_hz:.0f}–{box.high_hz:.0f} Hz. "
                    "Double-click the map to clear it.")
        return box
    left, right = st.columns(2)
    share = left.select_slider("Strongest cells", [0.02, 0.05, 0.1, 0.2, 0.3], value=0.1, key="attribution-share",
                               format_func=lambda v: f"{v:.0%}")
    kind = right.radio("pointing towards", list(KINDS), horizontal=True, key="attribution-kind")
    st.caption("Or draw a box on the map above to hear that.")
    return float(share), KINDS[str(kind)]


def heard(found: Desk, made: Audition, key: tuple) -> None:
    """Both sounds, and what the removal does to the score."""
    st.markdown(f"Without this part the score moves from **{widgets.signed(made.before)}** to "
                f"**{widgets.signed(made.after)}** ({made.unit}, before the bounds of the calibration). "
                + _against(made))
    left, right = st.columns(2, gap="large")
    for column, name, samples in ((left, "This part alone", made.part), (right, "Everything else", made.rest)):
        with column:
            st.markdown(f"**{name}**")
            st.audio(cache.figure("sound", (*key, name), lambda samples=samples: pcm16(samples)), format="audio/wav")
    figure = cache.figure("audition", key, lambda: drawn.audition_moves(
        made.before, made.after, made.elsewhere, made.unit, provenance=found.provenance))
    rows = [{"what": "as recorded", "score": round(made.before, 3)},
            {"what": "without it", "score": round(made.after, 3)},
            {"what": "this part alone", "score": round(made.alone, 3)},
            *({"what": f"without the same shape elsewhere ({i + 1})", "score": round(float(v), 3)}
              for i, v in enumerate(made.elsewhere))]
    widgets.chart(figure, "audition", table=rows, paper="resynthesis: Allen and Rabiner 1977", about=(
        f"the part ({made.share:.0%} of the energy) is taken out of the short-time spectrum and the rest is scored "
        "again; grey marks are the same shape taken out at other moments.",
        "a hole in the spectrum is itself a sound that no detector was trained on. A move no larger than the grey "
        "marks says nothing about this part."))


def _against(made: Audition) -> str:
    if made.beyond_chance:
        return "Taking out the same shape elsewhere moves it less every time."
    return "**Taking out the same shape elsewhere moves it as far**, so this says little about this part."


# ---- can it be believed ------------------------------------------------------------------------------------


def verdict_line(job: Job) -> None:
    """The verdict above the map."""
    if not job.ended:
        st.info("This map hasn't been tested yet: the tests are running and their verdict will be here.")
    elif job.result is None:
        st.warning(f"This map wasn't tested. {job.reason}")
    elif job.result.reliable:
        st.success("✓ " + job.result.sentence)
    else:
        st.error("✗ " + job.result.sentence)


def audit_panel(found: Desk, audit: Any, given: Map, key: tuple, unit: str) -> None:
    """All tests with their limits, the curves, likeness to other maps, shares of marked stretches."""
    widgets.table(("", "test", "measured", "limit", ""), [_row(c) for c in audit.checks], numeric=(2, 3))
    for note in audit.notes:
        st.caption(note)
    _curves(found, audit.curves, key, unit)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Likeness to other maps of the same stretch**")
        rows = [(METHODS[name].title, f"{a.rank:.2f}", f"{a.top:.0%}", f"{a.overlap:.2f}")
                for name, a in audit.likeness.items()]
        if audit.destroyed is not None:
            d = audit.destroyed
            rows.append(("the same method, weights destroyed", f"{d.rank:.2f}", f"{d.top:.0%}", f"{d.overlap:.2f}"))
        widgets.table(("map", "rank corr.", "top tenth in common", "overlap"), rows, numeric=(1, 2, 3))
        st.caption("By chance: rank correlation 0, a tenth of the top tenth in common.")
    with right:
        if audit.shares:
            st.markdown("**The marked stretch**")
            widgets.table(("where", "share of the map", "share of the time"),
                          [(s.where, f"{s.mass:.0%}", f"{s.time:.0%}") for s in audit.shares], numeric=(1, 2))
            st.caption("Edges are 80 ms to either side of where the stretch begins and ends. A map that explains the "
                       "stretch has more of itself inside than the stretch has of the time.")


def _row(check: Any) -> tuple[str, ...]:
    sign = {True: "✓ holds", False: "✗ missed", None: "– not measured"}[check.passed]
    limit = f"{'≥' if check.least else '≤'} {widgets.amount(check.limit, check.unit)}"
    value = "–" if check.passed is None else widgets.amount(float(check.value), check.unit)
    return (sign, check.label, value, limit, check.note)


def _curves(found: Desk, curves: Any, key: tuple, unit: str) -> None:
    shown = [curves.map, curves.energy, *curves.random]
    figure = cache.figure("removal curves", key, lambda: drawn.removal_curves(
        SHARES, [(c.name, c.deletion, c.insertion) for c in shown], unit, provenance=found.provenance))
    rows = [{"order": c.name, "deletion area": round(c.areas()[0], 3), "insertion area": round(c.areas()[1], 3),
             "insertion less deletion": round(c.faithfulness, 3)} for c in shown]
    widgets.chart(figure, "removal", table=rows, paper="arXiv 1806.07421, arXiv 1509.06321", about=(
        "cells are replaced by the baseline in the map's order (left) or put back in that order (right). If the map "
        "names what the score rests on, its curve leaves the grey ones at once. Areas are in units of the distance "
        "between the two scores and can exceed 1 where parts for and against cancel.",
        "a faithful map isn't a correct detector: it only says that the map describes what this detector does. Where "
        "even random removal moves the score far, the detector reacts to the patchwork itself, which no recording is."))
