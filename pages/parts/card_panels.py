"""The charts of the model card: drawn from the held-out table, each with its data, a download, and what it means."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.card_values import Measure, Section, at, entries, family_words, finite, items, measure, numbers, text
from core.figures import validation as drawn
from core.metrics import FEW_TRIALS
from pages.parts import cache, widgets


def csv_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV in UTF-8."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def chart(figure: Any, name: str, rows: Sequence[Mapping[str, Any]], about: tuple[str, str], paper: str) -> None:
    """A figure, its data as a table and as a file, and what it means."""
    widgets.chart(figure, name, table=list(rows), about=about, paper=paper, narrow=True)
    st.download_button("Data as CSV", csv_bytes(rows), file_name=f"earwitness-{name}.csv", mime="text/csv",
                       key=f"csv-{name}", on_click="ignore")


def section(s: Section, *, tables: bool = True) -> None:
    """A section's sentences, facts and tables as they are in the card, or that it is missing."""
    if s.missing:
        st.info(s.missing)
        return
    for words in s.words:
        st.markdown(widgets.plain(words))
    if s.facts:
        widgets.facts(s.facts)
    for t in s.tables if tables else ():
        card_table(t)


def card_table(t: Any) -> None:
    """One table of the card; a long one is scrolled."""
    if t.title:
        st.markdown(f"**{widgets.plain(t.title)}**")
    if len(t.rows) <= 14:
        widgets.table(t.headers, t.rows, numeric=t.numeric)
    else:
        st.dataframe([dict(zip((h or " " for h in t.headers), row, strict=True)) for row in t.rows], hide_index=True,
                     width="stretch", height=460)
    if t.note:
        st.caption(t.note)


# ---- from the held-out table ---------------------------------------------------------------------------------------


def curves(key: tuple, v: Any, bounds: tuple[float, float] | None, provenance: str) -> None:
    """DET and Tippett, ECE and reliability, two by two; what needs likelihood ratios says so where there are none."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Misses against false alarms (DET)**")
        _det(key, v, provenance)
    with right:
        st.markdown("**How strong, and how often misleading (Tippett)**")
        if v.tippett is None:
            st.info("The table has no likelihood ratios, so there is no Tippett, cross-entropy or reliability plot.")
            return
        _tippett(key, v.tippett, bounds, provenance)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What the likelihood ratios are worth (ECE)**")
        _ece(key, v.ece, provenance)
    with right:
        st.markdown("**Whether they mean what they say (reliability)**")
        _reliability(key, v.reliability, provenance)


def _det(key: tuple, v: Any, provenance: str) -> None:
    figure = cache.figure("card det", key, lambda: drawn.det(v.det, provenance=provenance))
    rows = [{"detector": c.name, "false alarms": round(float(a), 5), "misses": round(float(b), 5)}
            for c in v.det for a, b in zip(c.far, c.frr, strict=True)]
    chart(figure, "det", rows, (
        "each point of a curve is a threshold: so many spoofed clips pass as bona fide (across), so many bona fide "
        "clips are rejected (up). Lower left is better; the dot marks where both errors are equal.",
        "no threshold of the curve is used by the finding, which gives a likelihood ratio; and other material may be "
        "harder or easier."), "ASVspoof 5 evaluation plan, 2024")


def _tippett(key: tuple, t: Any, bounds: tuple[float, float] | None, provenance: str) -> None:
    figure = cache.figure("card tippett", (*key, bounds), lambda: drawn.tippett(t, bounds=bounds, provenance=provenance))
    rows = [{"log10 LR": round(float(x), 4), "bona fide at or above": round(float(b), 5),
             "spoof at or above": round(float(s), 5)} for x, b, s in zip(t.llr_log10, t.bonafide, t.spoof, strict=True)]
    chart(figure, "tippett", rows, (
        "the share of clips of each class whose log10 LR is at least as high as the value below. The further the "
        "curves lie apart, and the steeper each falls on its own side of 0, the better.",
        "a clip on the wrong side of 0 is misleading, not necessarily strongly so: how far the curves reach past 0 "
        "shows how strongly. The LRs here are by calibrations that never heard a clip's source and can lie past the "
        "dashed bounds, which are those of the shipped calibration."), "Meuwly 2001; Morrison et al. 2021")


def _ece(key: tuple, e: Any, provenance: str) -> None:
    figure = cache.figure("card ece", key, lambda: drawn.ece(e, provenance=provenance))
    rows = [{"prior log10 odds": float(x), "as stated, bits": round(float(a), 5), "best, bits": round(float(b), 5),
             "LR = 1, bits": round(float(n), 5)}
            for x, a, b, n in zip(e.prior_log10_odds, e.stated, e.best, e.neutral, strict=True)]
    chart(figure, "ece", rows, (
        "how uncertain one remains after hearing the likelihood ratios, for every prior. Below the dotted curve they "
        "help; between the solid and the dashed curve lies what better calibration could still gain. At "
        "prior odds 1 it is Cllr.",
        "the prior is not the detector's to choose: it stands for everything else that is known about a case."
        + (" Where the solid curve is above the dotted one, the stated LRs are worse than none."
           if len(e.worse_than_nothing) else "")), "Ramos et al. 2018")


def _reliability(key: tuple, r: Any, provenance: str) -> None:
    figure = cache.figure("card reliability", key, lambda: drawn.reliability(r, provenance=provenance))
    rows = [{"stated": round(float(x), 4), "borne out": round(float(y), 4), "low": round(float(a), 4),
             "high": round(float(b), 4)} for x, y, a, b in zip(r.stated, r.observed, r.low, r.high, strict=True)]
    chart(figure, "reliability", rows, (
        "where the detector's LR would mean, say, 70 % bona fide at even prior odds, the curve shows what share it "
        "was. On the dotted line they agree. Below it: how often each value is stated, by class.",
        "the band covers other speakers and other systems of this kind of material, not other kinds of material."),
        "Dimitriadis et al. 2021 (by pool-adjacent-violators)")


def by_kind(key: tuple, v: Any, provenance: str) -> None:
    """Rates by kind of material: one kind at a time, as a figure and a table with warnings."""
    from core.validation_tables import NAMES

    choices = [n for n in NAMES if n in v.tables]
    if not choices:
        return
    by = st.segmented_control("By", choices, default=choices[0], format_func=lambda n: NAMES[n], key="card-kind",
                              required=True) or choices[0]
    rows = v.tables[by]
    name = family_words if by == "family" else str
    shown = [(name(r.name), r.eer.value, r.eer.low, r.eer.high, bool(r.warning)) for r in rows if r.eer]
    if shown:
        figure = cache.figure("card rates", (*key, by), lambda: drawn.rates(shown, pooled=v.headline["eer"].value,
                                                                            provenance=provenance))
        chart(figure, f"eer-by-{by}", [r.cells() for r in rows], (
            "the equal error rate of each kind of material with its 95 % interval over speakers and systems"
            + (", against all bona fide clips." if by in ("family", "system") else ", both classes being of that kind."),
            "kinds differ in more than their name: a language or a codec may be harder only because its systems or "
            "speakers are. Hollow marks rest on fewer than 200 trials of a class."), "ASVspoof 5 evaluation plan, 2024")
    body = [(name(r.name), r.bonafide, r.spoof, _rate(r.eer), _plain(r.cllr), r.warning) for r in rows]
    with st.expander(f"Table by {NAMES[by]}", expanded=len(body) <= 8):
        widgets.table((NAMES[by], "bona fide", "spoof", "EER [95 %]", "Cllr [95 %]", "note"), body, numeric=(1, 2, 3, 4))


def _rate(i: Any) -> str:
    return "–" if i is None else f"{100 * i.value:.1f} % [{100 * i.low:.1f}, {100 * i.high:.1f}]"


def _plain(i: Any) -> str:
    return "–" if i is None else f"{i.value:.2f} [{i.low:.2f}, {i.high:.2f}]"


# ---- from the card -------------------------------------------------------------------------------------------------


def robustness(key: tuple, card: Mapping[str, Any], provenance: str) -> None:
    """The robustness table as a figure, where the card has one."""
    rows, clean = [], None
    for entry in entries(card.get("robustness"), "rows"):
        rate, name = measure(entry.get("eer")), text(entry.get("condition"))
        if name == "clean":
            clean = rate.value if rate else None
            continue
        rows.append((f"{name}, {text(entry.get('level'))}", *_ends(rate), finite(entry.get("abstention")) or 0.0,
                     text(entry.get("verdict"))))
    if not rows:
        return
    figure = cache.figure("card robustness", key, lambda: drawn.robustness(rows, clean=clean, provenance=provenance))
    names = ("condition", "eer", "low", "high", "abstains on", "verdict")
    chart(figure, "robustness", [dict(zip(names, r, strict=True)) for r in rows], (
        "the equal error rate after each degradation, on the clips for which the detector still gives a finding; the "
        "dashed line is a third above the clean rate.",
        "it says nothing about degradations that are not listed, or about several at once beyond the tandem rows."),
        "Practice: ENFSI 2015 (validity under case conditions)")


def _ends(m: Measure | None) -> tuple[float | None, float, float]:
    """Value and whisker ends; without an interval the whisker has no length."""
    return (None, 0.0, 0.0) if m is None else (m.value, *(m.value if e is None else e for e in (m.low, m.high)))


def bounds_of(card: Mapping[str, Any]) -> tuple[float, float] | None:
    """The reported bounds of the log10 LR, where the card states two in order."""
    found = numbers(at(card, "calibration", "bounds_log10"))
    return (found[0], found[1]) if len(found) == 2 and found[0] < found[1] and max(map(abs, found)) < 12 else None


def card_rates(key: tuple, card: Mapping[str, Any], provenance: str) -> None:
    """EER by kind of synthesis as the card states it, for cards without a held-out table."""
    node = at(card, "metrics", "by_family") or card.get("by_family")
    rows = [(family_words(name), *_ends(m), min(m.bona_fide or FEW_TRIALS, m.spoof or FEW_TRIALS) < FEW_TRIALS)
            for name, v in items(node) if (m := measure(v))]
    if not rows:
        return
    rows.sort(key=lambda r: -r[1])
    figure = cache.figure("card stated rates", key, lambda: drawn.rates(rows, provenance=provenance))
    names = ("kind of synthesis", "eer", "low", "high")
    chart(figure, "eer-stated", [dict(zip(names, r[:4], strict=True)) for r in rows], (
        "the equal error rate of each kind of synthesis against all bona fide clips, as the card states it.",
        "the clips behind it are not here, so nothing more can be drawn from it."), "ASVspoof 5 evaluation plan, 2024")
