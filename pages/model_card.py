"""Model card: what a detector is, how often it is wrong and on what, and what its likelihood ratios are worth."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import streamlit as st

from core.card_figures import pooled_eer
from core.card_sections import sections
from core.card_values import Section
from core.jobs import CANCELLED
from core.model_card import headline, to_markdown
from pages.parts import card_panels, progress, widgets
from pages.parts.card_desk import Card, choose, open_card, validating


def main() -> None:
    st.title("Model card")
    name = choose()
    if name is None:
        st.info("No detector is installed, so there is no card to show.")
        return
    found = open_card(name)
    if isinstance(found, str):
        st.error(found)
        return
    places: list = []
    held, measured = _measure(found, places)
    card = dict(found.card)
    if measured is not None and not isinstance(card.get("metrics"), dict):
        card["metrics"] = measured.metrics()
    _headline(card, found)
    provenance = _provenance(found)
    parts = {s.key: s for s in sections(card)}
    _how_wrong(found, card, parts, measured, bool(places), provenance)
    _robustness(found, card, parts["robustness"], provenance)
    for key in ("peers", "ablations", "worst", "hybrids"):
        _section(parts[key])
    _section(parts["calibration"])
    _section(parts["identity"])
    _section(parts["origin"])
    _section(parts["training"], folded="By")
    _section(parts["limits"])
    _section(parts["reproduce"], folded="Recipe")
    _downloads(found, card, held, measured)
    progress.follow(places)


def _measure(found: Card, places: list) -> tuple[Any, Any]:
    """(held-out table, its figures), or (None, None) while they are computed and where there are none."""
    if found.table is None:
        return None, None
    job = validating(found)
    job.wait(0.8)
    if job.result is not None:
        return job.result
    if not job.ended:
        places.append(progress.show(job, "Measuring the held-out table", key="validation"))
    else:
        (st.info if job.state == CANCELLED else st.error)(f"{job.reason} The card itself is below.")
        if st.button("Measure the held-out table again"):
            validating(found, again=True)
            st.rerun()
    return None, None


def _headline(card: dict, found: Card) -> None:
    first, *rest = headline(card)
    body = "".join(f"<p class='ew-figures'>{escape(s)}</p>" for s in rest)
    st.html(f'<div class="ew-sentence" role="status"><p>{escape(first)}</p>{body}</div>')
    st.caption(f"{widgets.plain(found.title)}. Measured on held-out material of the card's protocol; your recordings "
               "may be harder or easier. Higher scores and likelihood ratios support bona fide speech.")


def _provenance(found: Card) -> str:
    weights = str(found.card.get("weights_sha256") or "")[:8]
    plain = found.title.replace("<", "‹").replace(">", "›").replace("&", "+")
    return f"{plain} {weights} · held-out table {found.table_sha256[:8]}" if found.table_sha256 else f"{plain} {weights}"


def _how_wrong(found: Card, card: dict, parts: dict[str, Section], measured: Any, waiting: bool, provenance: str) -> None:
    """Figures of the held-out table where there is one, else what the card states."""
    s = parts["errors"]
    st.subheader(s.title)
    key = (found.table_sha256, found.digest)
    if s.missing:
        st.info(s.missing)
    else:
        card_panels.card_table(s.tables[0])
    if measured is not None:
        _agreement(found, card, measured)
        card_panels.curves(key, measured, card_panels.bounds_of(card), provenance)
        st.subheader("By kind of material")
        card_panels.by_kind(key, measured, provenance)
    elif waiting:
        widgets.skeleton("Curves and tables of the held-out clips will be here.", 420)
    else:
        if found.why:
            st.info(f"{found.why} The curves (DET, Tippett, ECE, reliability) and most tables need it; below is what the "
                    "card itself states.")
        card_panels.card_rates(key, card, provenance)
    if not s.missing and measured is None:
        for t in s.tables[1:]:
            card_panels.card_table(t)
    elif not s.missing:
        within = [t for t in s.tables if t.title.startswith("Within")]
        for t in within:
            card_panels.card_table(t)


def _agreement(found: Card, card: dict, measured: Any) -> None:
    """What the table is of, and whether it says what the card says."""
    n, few = measured.n, f" {measured.warning}." if measured.warning else ""
    st.caption(f"Held-out table: {n[0]:,} bona fide clips of {measured.speakers:,} named speakers and {n[1]:,} spoofed "
               f"clips of {measured.systems:,} systems, from {measured.sources:,} sources.{few}")
    stated = pooled_eer(card)
    if stated and abs(stated.value - measured.headline["eer"].value) > 0.002:
        st.warning(f"The card states an EER of {100 * stated.value:.1f} %, but this table gives "
                   f"{100 * measured.headline['eer'].value:.1f} %: they are not of the same evaluation.")
    if found.unnamed:
        st.warning("The card doesn't name this table by its digest, so it may be of other weights.")


def _robustness(found: Card, card: dict, s: Section, provenance: str) -> None:
    st.subheader(s.title)
    if not s.missing:
        card_panels.robustness((found.digest, found.table_sha256), card, provenance)
    card_panels.section(s)


def _section(s: Section, folded: str | None = None) -> None:
    """A section under its heading; tables whose title starts with ``folded`` lie in an expander."""
    st.subheader(s.title)
    card_panels.section(s, tables=False)
    for t in s.tables:
        if folded and t.title.startswith(folded):
            with st.expander(t.title):
                card_panels.card_table(t)
        else:
            card_panels.card_table(t)


def _downloads(found: Card, card: dict, held: Any, measured: Any) -> None:
    st.subheader("The card and its data")
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in found.title)[:60]
    files = [("Card (JSON)", json.dumps(found.card, indent=1, ensure_ascii=False).encode(), f"{stem}.card.json",
              "application/json"),
             ("Card (Markdown)", to_markdown(card).encode(), f"{stem}.CARD.md", "text/markdown")]
    if held is not None and found.table is not None:
        files.append(("Held-out scores (CSV)", found.table, f"{stem}.validation.csv", "text/csv"))
        rows = [{"by": by, **r.cells()} for by, table in measured.tables.items() for r in table]
        files.append(("All tables (CSV)", card_panels.csv_bytes(rows), f"{stem}.rates.csv", "text/csv"))
    for column, (words, body, name, mime) in zip(st.columns(4), files, strict=False):
        column.download_button(words, body, file_name=name, mime=mime, on_click="ignore", width="stretch")


main()
