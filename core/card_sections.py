"""A model card as a reader wants it: sections in a fixed order, each with sentences, facts and tables, or said missing.

The page and the written card (``CARD.md``) show the same sections. Nothing is made up: a section for which the card has
nothing says so. The card's keys are those that ``python -m core evaluate`` writes; unknown ones are left to the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core import card_figures as figures
from core.card_values import Section, Table, at, entries, finite, flat, items, measure, text, whole


def sections(card: Mapping[str, Any]) -> list[Section]:
    """All sections, in the order of reading."""
    return [_settled(make(card)) for make in (
        figures.errors, figures.peers, figures.ablations, figures.robustness, figures.calibration, figures.hybrids,
        figures.worst, _identity, _origin, _training, _limits, _reproduce)]


def section(card: Mapping[str, Any], key: str) -> Section:
    """One section by its key. Raises KeyError."""
    return {s.key: s for s in sections(card)}[key]


def _settled(s: Section) -> Section:
    """Without empty facts and tables; said to be missing where nothing is left."""
    facts = tuple((k, v) for k, v in s.facts if v)
    tables = tuple(_without_empty_columns(t) for t in s.tables if t.rows)
    if facts or tables or s.words:
        return Section(s.key, s.title, s.words, facts, tables)
    return Section(s.key, s.title, missing=s.missing)


def _without_empty_columns(t: Table) -> Table:
    """The table without columns that hold nothing; the first one stays."""
    kept = [i for i in range(len(t.headers)) if i == 0 or any(row[i] for row in t.rows)]
    if len(kept) == len(t.headers):
        return t
    numeric = tuple(new for new, old in enumerate(kept) if old in t.numeric)
    return replace(t, headers=tuple(t.headers[i] for i in kept), numeric=numeric,
                   rows=tuple(tuple(row[i] for i in kept) for row in t.rows))


# ---- what it is ------------------------------------------------------------------------------------------------


def _identity(card: Mapping[str, Any]) -> Section:
    rate, window = finite(card.get("sample_rate_hz")), finite(card.get("window_s"))
    counts = [(f"parameters, {k}", f"{n:,}") for k, v in items(card.get("parameters")) if (n := whole(v)) is not None]
    weights = card.get("layer_weights")
    facts = [("name", text(card.get("name"))), ("network", text(card.get("system"))),
             ("encoder", text(card.get("encoder"))),
             ("hears", text(card.get("hears"))), ("sample rate", f"{rate:g} Hz" if rate else ""),
             ("window", f"{window:g} s" if window else ""), ("whole recordings", text(card.get("crop_policy"))),
             ("which way is up", text(card.get("sign"))), *counts,
             ("weights of the encoder's layers", text(weights) if isinstance(weights, list) else "")]
    return Section("identity", "What it is", facts=tuple(facts), tables=(_panel(card.get("panel")),),
                   missing="The card doesn't say what this detector is.")


def _panel(node: Any) -> Table:
    rows = []
    inner = node.get("members") if isinstance(node, Mapping) and "members" in node else node
    named = [(n, v if isinstance(v, Mapping) else {"weight": v}) for n, v in items(inner)]
    for name, entry in [*named, *((text(e.get("name")), e) for e in entries(inner))]:
        share = measure(entry.get("weight"))
        rate = figures.first_rate(entry, "eer_pooled", "eer")
        more = {k: v for k, v in entry.items() if k not in ("name", "weight", "eer", "eer_pooled", "metrics")}
        rows.append((name, f"{share.value:.3g}" if share else text(entry.get("weight")), rate, text(more)))
    return Table(("member", "weight", "EER alone", "more"), tuple(rows), (1, 2), "The panel that gives the score")


def _origin(card: Mapping[str, Any]) -> Section:
    paper = text(card.get("paper"))
    facts = (("method", paper), ("licence", text(card.get("licence") or card.get("license"))),
             ("trained and measured on", text(card.get("machine"))),
             ("weights, sha256", text(card.get("weights_sha256"))),
             ("calibration, sha256", text(card.get("calibration_sha256"))),
             ("reference, sha256", text(card.get("reference_sha256"))))
    return Section("origin", "Where it comes from", facts=facts,
                   missing="The card states neither the method's source nor a licence.")


def _training(card: Mapping[str, Any]) -> Section:
    data = card.get("training_data")
    clips, dropped = whole(at(data, "clips")), at(data, "dropped")
    licences = at(data, "licences") or at(data, "licenses") or card.get("data_licences")
    rows = []
    for name, value in items(at(data, "by_source")):
        count = whole(value if not isinstance(value, Mapping) else value.get("clips"))
        licence = text(at(value, "licence") or at(licences, name)) or "not stated in the card"
        rows.append((name, "" if count is None else f"{count:,}", licence))
    for entry in entries(data, "sources"):
        count = whole(entry.get("clips"))
        rows.append((text(entry.get("source") or entry.get("name")), "" if count is None else f"{count:,}",
                     text(entry.get("licence")) or "not stated in the card"))
    systems = [(name, f"{n:,}") for name, v in items(at(data, "by_system")) if (n := whole(v)) is not None]
    known = ("clips", "dropped", "by_source", "by_system", "sources", "licences", "licenses")
    more = [(k, text(v)) for k, v in items(data) if k not in known]
    return Section(
        "training", "What it was trained on",
        facts=(("clips", "" if clips is None else f"{clips:,}"),
               ("dropped", text(dropped) if dropped is not None else ""), *more),
        tables=(Table(("source", "clips", "licence"), tuple(rows), (1,), "By source"),
                Table(("system", "clips"), tuple(systems), (1,), "By system")),
        missing="The card doesn't say what this detector was trained on.")


def _limits(card: Mapping[str, Any]) -> Section:
    node = card.get("limits") or card.get("limitations") or card.get("reservations")
    lines = node if isinstance(node, list) else [node] if node else []
    return Section("limits", "Limits", tuple(text(line) for line in lines if text(line)),
                   missing="The card states no limits in words; the figures above are what is known.")


def _reproduce(card: Mapping[str, Any]) -> Section:
    held_out = card.get("folds") if isinstance(card.get("folds"), list) else []
    folds = [(f"fold {i}", text(fold)) for i, fold in enumerate(held_out, 1)]
    facts = (("command", text(card.get("command"))), ("protocol", text(card.get("protocol"))),
             ("wall time", text(card.get("wall_time"))))
    recipe = tuple(pair for pair in flat(card.get("recipe")) if all(pair))
    return Section("reproduce", "How to reproduce it", facts=facts,
                   tables=(Table(("held out together", "sources"), tuple(folds), title="Folds"),
                           Table(("setting", "value"), recipe, (1,), "Recipe")),
                   missing="The card doesn't say how its figures can be reproduced.")
