"""Reading a model card for people: the headline in plain words, the error rates as rows, the whole card as Markdown.

The card's sections are made in ``core.card_sections``; the page and the written card show the same ones. A card's
``metrics`` may be nested; a measurement is a number, or a mapping with ``value`` and, where it has one, an interval as
``low`` and ``high`` or ``interval``. What isn't there isn't made up: a silent card gives no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.card_figures import HELD_OUT, pooled_eer
from core.card_sections import sections
from core.card_values import Measure, Section, Table, at, family_words, items, measure, text, times_in_hundred

WORDS = {
    "eer": "EER",
    "cllr": "Cllr",
    "mindcf": "minDCF",
    "min": "min",
    "dcf": "DCF",
    "actdcf": "actDCF",
    "lr": "LR",
}
MEASURES = ("eer", "cllr", "dcf")
ROWS = 12


def error_rates(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what was measured, value, 95 % interval) for every error rate in the card, at most ``ROWS``."""
    rows = []
    for path, m in _measurements(card.get("metrics") or {}, ()):
        words = " ".join(path).lower()
        if any(name in words for name in MEASURES):
            share = "eer" in words
            interval = "" if m.low is None else f"{_shown(m.low, share)} – {_shown(m.high, share)}"
            rows.append((_named(path), _shown(m.value, share), interval))
    return rows[:ROWS]


def _measurements(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Measure]]:
    """Walk a nested mapping and yield (names, measurement), at most six levels deep."""
    found = measure(node)
    if found is not None:
        yield path, found
    elif isinstance(node, Mapping) and len(path) < 6:
        for name, inner in node.items():
            yield from _measurements(inner, (*path, text(name)))


def _shown(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share and value <= 1 else f"{value:.3g}{' %' if share else ''}"


def _named(path: tuple[str, ...]) -> str:
    words = " ".join(path).replace("_", " ").replace("-", " ").split()
    return " ".join(WORDS.get(word.lower(), word) for word in words)


# ---- in plain words --------------------------------------------------------------------------------------------


def headline(card: Mapping[str, Any]) -> list[str]:
    """How often the detector is wrong, on what, and what its likelihood ratios are worth: what the card states."""
    held = at(card, *HELD_OUT)
    pooled, macro, cost = pooled_eer(card), measure(at(held, "eer_macro")), measure(at(held, "cllr"))
    if pooled is None:
        return ["The card of this detector states no error rate on material it never heard, so nothing is claimed about "
                "how often it is wrong."]
    words = ["On recordings from sources that it never heard, this detector is wrong about "
             f"{times_in_hundred(pooled.value)}, at the threshold where it takes as large a share of people for machines "
             f"as of machines for people (equal error rate {_shown(pooled.value, True)}{_between(pooled)}). "
             "Guessing is wrong 50 times in 100."]
    if macro is not None:
        words.append(f"As a mean over synthesis systems, each counting the same, it is {_shown(macro.value, True)}"
                     f"{_between(macro)}.")
    words += _extremes(card) + ([_worth(cost.value)] if cost is not None else [])
    return words


def _between(m: Measure) -> str:
    return "" if m.low is None else f", 95 % interval {100 * m.low:.1f} to {100 * m.high:.1f}"


def _extremes(card: Mapping[str, Any]) -> list[str]:
    """The kinds of synthesis on which it errs most and least, where there are two or more."""
    node = at(card, "metrics", "by_family") or card.get("by_family")
    rates = sorted((m.value, family_words(name)) for name, v in items(node) if (m := measure(v)))
    if len(rates) < 2:
        return []
    (least, easy), (most, hard) = rates[0], rates[-1]
    return [f"It errs most on {hard} ({_shown(most, True)}) and least on {easy} ({_shown(least, True)})."]


def _worth(cllr: float) -> str:
    """What a Cllr means, in a sentence."""
    ends = f"(Cllr {cllr:.2f}; 0 is perfect, 1 says nothing)"
    if cllr >= 1:
        return f"Its likelihood ratios mislead more than they tell {ends}."
    amount = "little" if cllr > 0.8 else "something" if cllr > 0.5 else "much"
    return f"Its likelihood ratios say {amount} {ends}."


# ---- as Markdown -----------------------------------------------------------------------------------------------


TERMS = (
    "EER: error rate where both errors are equal. Cllr: cost of the likelihood ratios in bits, 0 is perfect, 1 says "
    "nothing. DCF: detection cost of the ASVspoof 5 plan, 1 is the better constant answer. Scores and likelihood ratios "
    "are higher for bona fide speech. Intervals are 95 % bootstraps."
)


def to_markdown(card: Mapping[str, Any]) -> str:
    """The whole card as Markdown, for ``CARD.md`` beside the weights. Text from the card can't act as markup."""
    name = text(card.get("name")) or "A detector"
    lines = [f"# Model card: {escaped(name)}", "", " ".join(escaped(s) for s in headline(card)), "",
             TERMS]
    for s in sections(card):
        lines += [*([""] if lines[-1] else []), f"## {s.title}", "", *_markdown_section(s)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_section(s: Section) -> list[str]:
    if s.missing:
        return [f"*{escaped(s.missing)}*"]
    lines = [line for words in s.words for line in (escaped(words), "")]
    lines += [f"* **{escaped(name)}:** {escaped(value)}" for name, value in s.facts]
    for table in s.tables:
        lines += ([""] if lines and lines[-1] else []) + _markdown_table(table)
    return lines


def _markdown_table(table: Table) -> list[str]:
    lines = [f"**{escaped(table.title)}**", ""] if table.title else []
    lines.append("| " + " | ".join(escaped(h) or " " for h in table.headers) + " |")
    lines.append("|" + "|".join("---:" if i in table.numeric else "---" for i in range(len(table.headers))) + "|")
    lines += ["| " + " | ".join(escaped(cell) or " " for cell in row) + " |" for row in table.rows]
    return lines + (["", escaped(table.note)] if table.note else []) + [""]


def escaped(words: str) -> str:
    """Text without what Markdown or HTML would act on."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|~$" else c for c in words)
