"""The sections of a model card that hold figures: errors, comparisons, ablations, robustness, calibration, worst."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.card_values import (
    Measure,
    Section,
    Table,
    at,
    entries,
    family_words,
    finite,
    items,
    measure,
    numbers,
    text,
    whole,
)
from core.checks import TRACE_WORDS

HELD_OUT = ("metrics", "leave_source_out")

FIGURES = (("eer_pooled", "EER, pooled", True), ("eer_macro", "EER, mean over systems", True), ("cllr", "Cllr", False),
           ("cllr_min", "Cllr at best (discrimination alone)", False), ("act_dcf", "actDCF", False),
           ("min_dcf", "minDCF", False))


def pooled_eer(card: Mapping[str, Any]) -> Measure | None:
    """The pooled EER on held-out sources, under its name or, beside a macro EER, as the protocol's own value."""
    held = at(card, *HELD_OUT)
    return measure(at(held, "eer_pooled")) or (measure(held) if at(held, "eer_macro") is not None else None)


def errors(card: Mapping[str, Any]) -> Section:
    held = at(card, *HELD_OUT)
    rows = []
    for key, name, share in FIGURES:
        m = pooled_eer(card) if key == "eer_pooled" else measure(at(held, key))
        if m:
            rows.append((name, m.percent() if share else m.plain(), _count(m.bona_fide), _count(m.spoof)))
    families = _rates(at(card, "metrics", "by_family") or card.get("by_family"), words=family_words)
    headers = ("measured on material it never heard", "value [95 % interval]", "bona fide clips", "spoofed clips")
    return Section(
        "errors", "How wrong it is, and where",
        tables=(Table(headers, tuple(rows), (1, 2, 3), "All together"),
                _table("kind of synthesis", families, "By kind of synthesis, against all bona fide clips"),
                _table("source", _rates(card.get("within_source")),
                       "Within one source, where only synthesis differs and not the channel"),
                _table("system", _rates(card.get("by_system")), "By system, the worst first")),
        missing="The card states no measured error rates, so nothing is claimed about how often this detector is wrong.")


def _rates(node: Any, words: Callable[[str], str] = str) -> list[tuple[str, Measure]]:
    found = [(words(name), m) for name, v in items(node) if (m := measure(v))]
    return sorted(found, key=lambda pair: -pair[1].value)


def _table(what: str, found: list[tuple[str, Measure]], title: str) -> Table:
    """EER rows; columns of counts only where there are counts."""
    counted = any(m.bona_fide is not None or m.spoof is not None for _, m in found)
    rows = tuple((name, m.percent(), *((_count(m.bona_fide), _count(m.spoof)) if counted else ())) for name, m in found)
    more = ("bona fide clips", "spoofed clips") if counted else ()
    return Table((what, "EER [95 % interval]", *more), rows, (1, 2, 3)[: 1 + len(more)], title)


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


def first_rate(node: Any, *names: str) -> str:
    """The first rate found under the names, directly or under ``metrics``, in per cent; empty where there is none."""
    return next((m.percent() for name in names for part in (node, at(node, "metrics"), at(node, *HELD_OUT))
                 if (m := measure(at(part, name)))), "")


def peers(card: Mapping[str, Any]) -> Section:
    own = at(card, *HELD_OUT)
    own = {**own, "eer_pooled": at(own, "eer_pooled") or own} if isinstance(own, Mapping) else {}
    own = {k: v for k, v in own.items() if k not in ("value", "low", "high")}
    every = [(*_compared("this detector", own), "detector")] if own else []
    for key, kind in (("peers", "published network"), ("baselines", "baseline")):
        every += [(*_compared(_baseline_words(name), node), kind) for name, node in items(card.get(key))]
        every += [(*_compared(text(e.get("name")), e), kind) for e in entries(card.get(key))]
    rows = tuple((name, kind, *rest) for name, *rest, kind in every if any(rest))
    others = [r for r in rows if r[1] != "detector"]
    return Section("peers", "Compared with others on the same clips",
                   tables=(Table(("", "kind", "EER, pooled", "EER, mean over systems", "Cllr"), rows, (2, 3, 4)),)
                   if others else (), missing="The card compares this detector with no other.")


def _baseline_words(name: str) -> str:
    """What a baseline's short name stands for."""
    words = "only bandwidth and level" if name == "channel_only" else name
    words = words.replace("floor_layer_", "regression on frozen encoder states, layer ")
    return words.replace("_unguarded", ", with the top bands").replace("_", " ")


def _compared(name: str, node: Any) -> tuple[str, str, str, str]:
    if not isinstance(node, Mapping) or finite(node.get("value")) is not None:
        m = measure(node)
        return name, m.percent() if m else "", "", ""
    cost = measure(at(node, "cllr")) or measure(at(node, "metrics", "cllr"))
    macro = first_rate(node, "eer_macro", "macro")
    return name, first_rate(node, "eer_pooled", "eer"), macro, cost.plain() if cost else ""


def ablations(card: Mapping[str, Any]) -> Section:
    rows, fewest = [], 99
    for name, node in items(card.get("seeds_and_ablations")):
        seeds = _repeated(node, "eer_pooled")
        fewest = min(fewest, len(seeds)) if isinstance(node, Mapping) else fewest
        spread = f"{100 * sum(seeds) / len(seeds):.1f} %" if seeds else first_rate(node, "eer_pooled")
        if len(seeds) > 1:
            spread += f" ({100 * min(seeds):.1f} to {100 * max(seeds):.1f})"
        rows.append((name, _count(len(seeds) or None), spread, first_rate(node, "eer_pooled"),
                     _mean(_repeated(node, "eer_macro")), _mean(at(node, "range_eer_by_seed")),
                     _mean(at(node, "training_s_all_folds"), " s", 1)))
    note = ("Fewer than three seeds or divisions stand behind some rows, so small differences between them rank nothing."
            if fewest < 3 else "Mean over seeds or divisions, with the lowest and the highest.")
    headers = ("variant", "seeds or divisions", "EER, pooled, over them", "first [95 % interval]",
               "EER, mean over systems", "range EER", "training")
    return Section("ablations", "What its parts contribute",
                   tables=(Table(headers, tuple(r for r in rows if any(r[1:])), (1, 2, 3, 4, 5, 6), note=note),),
                   missing="The card has no ablations: it doesn't show what the detector's parts contribute.")


def _repeated(node: Any, rate: str) -> list[float]:
    """A rate by seed, or by division of the sources."""
    by_division = at(node, f"{rate}_by_partition")
    return numbers(list(by_division.values()) if isinstance(by_division, Mapping) else at(node, f"{rate}_by_seed"))


def _mean(node: Any, unit: str = " %", scale: float = 100) -> str:
    values = numbers(node)
    return f"{scale * sum(values) / len(values):.{0 if scale == 1 else 1}f}{unit}" if values else ""


# ---- under which conditions ----------------------------------------------------------------------------------------

VERDICTS = {"within a third": "✓ within a third", "abstains": "■ abstains", "exceeds": "✗ exceeds",
            "not measured": "– not measured"}


def verdict_words(entry: Mapping[str, Any]) -> str:
    """The verdict with its sign, and a word where the interval leaves it open."""
    words = VERDICTS.get(text(entry.get("verdict")), text(entry.get("verdict")))
    return words + (" (not certain)" if words and entry.get("sure") is False else "")


def robustness(card: Mapping[str, Any]) -> Section:
    node = card.get("robustness")
    rows = []
    for entry in entries(node, "rows"):
        rate, rise, silent = measure(entry.get("eer")), measure(entry.get("rise")), finite(entry.get("abstention"))
        is_clean = text(entry.get("condition")) == "clean"
        wrong = entry.get("wrong_side")
        sides = [_share(v) for v in wrong] if isinstance(wrong, list) and len(wrong) == 2 else ["–", "–"]
        rows.append((text(entry.get("condition")), text(entry.get("level")), rate.percent() if rate else "–",
                     "" if is_clean else _signed(rise), *sides, "" if silent is None else _share(silent),
                     "reference" if is_clean else verdict_words(entry)))
    words = [said for key in ("definition", "wrong_side") if (said := text(at(node, key)))]
    for entry in entries(node, "not_measured"):
        words.append(f"{text(entry.get('condition'))} was not measured: {text(entry.get('reason'))}.")
    headers = ("condition", "level", "EER [95 % interval]", "rise over clean", "bona fide wrong", "spoofs wrong",
               "abstains on", "verdict")
    return Section("robustness", "What recordings may have gone through", tuple(words) if rows else (),
                   tables=(Table(headers, tuple(rows), (2, 3, 4, 5, 6)), *_traces(card.get("traces"))),
                   missing="The card has no robustness table: what codecs and noise do to the error was not measured.")


def _traces(node: Any) -> tuple[Table, ...]:
    """How many clips are refused for the traces of what they have been through."""
    names = [name for name, _ in items(at(node, "limits"))]
    rows = [(text(e.get("clips")), _count(whole(e.get("n"))), *(_share(e.get(name)) for name in (*names, "any")))
            for e in entries(node, "rows")]
    headers = ("clips", "number", *(f"refused: {TRACE_WORDS.get(name, name)}" for name in names), "refused by any")
    table = Table(headers, tuple(rows), tuple(range(1, len(headers))), note=text(at(node, "definition")))
    return (table,) if rows else ()


def _share(value: Any) -> str:
    share = finite(value)
    return "–" if share is None else f"{100 * share:.0f} %"


def _signed(m: Measure | None) -> str:
    if m is None:
        return "–"
    value, *ends = ("" if v is None else f"{100 * v + 0.0:+.0f}" for v in (m.value, m.low, m.high))
    value, *ends = ("0" if v in ("+0", "-0") else v for v in (value, *ends))
    return f"{value} %{f' [{ends[0]}, {ends[1]}]' if ends[0] else ''}".replace("-", "−")


def calibration(card: Mapping[str, Any]) -> Section:
    node, words = card.get("calibration"), []
    bounds = at(node, "bounds_log10")
    low, high = (finite(b) for b in bounds) if isinstance(bounds, list) and len(bounds) == 2 else (None, None)
    if low is not None and high is not None and abs(low) < 12 and abs(high) < 12:
        words.append(f"No finding of this detector says more than {10 ** max(0, -low):.3g} times in favour of synthesis "
                     f"or {10 ** max(0, high):.3g} times in favour of bona fide speech (log10 LR {low:.2f} to "
                     f"{high:.2f}): beyond that the calibration data are too few.".replace("-", "−"))
    held = at(card, *HELD_OUT)
    act, least = measure(at(held, "act_dcf")), measure(at(held, "min_dcf"))
    if act and least and least.value > 0:
        more = 100 * (act.value / least.value - 1)
        words.append(f"At the evaluation plan's costs its decisions cost {more:.0f} % more than with the best "
                     f"threshold in hindsight (actDCF {act.value:.3f}, minDCF {least.value:.3f}).")
    facts = [(k.replace("_", " "), text(v)) for k, v in items(node) if k != "bounds_log10"]
    return Section("calibration", "Calibration and bounds", tuple(words), tuple(facts),
                   missing="The card says nothing about calibration; scores without one are raw and mean nothing by "
                           "themselves.")


def hybrids(card: Mapping[str, Any]) -> Section:
    names = {"range_eer_frame_head": "time range EER of the frame head",
             "range_eer_clip_head_slid": "time range EER of the clip head slid along",
             "range_f1_at_eer_threshold": "time range F1 at that threshold",
             "whole_by_clip_score": "told from the same recordings untouched, by the clip score (EER)",
             "whole_by_lowest_frames": "the same by the lowest tenth of the frame scores (EER)",
             "whole_by_both": "the same by both together, as the check of parts does (EER)",
             "leads_recall_at_10_percent_false_alarm": "synthetic time found while marking 10 % of bona fide time"}
    rows = []
    for key, node in items(at(card, "metrics", "hybrids") or card.get("hybrids")):
        m = measure(node)
        if m:
            share = key != "range_f1_at_eer_threshold"
            count = whole(at(node, "hybrids"))
            rows.append((names.get(key, key.replace("_", " ")), m.percent() if share else m.plain(), _count(count)))
    headers = ("measured on splices of unseen systems", "value [95 % interval]", "hybrids")
    return Section("hybrids", "Recordings that are synthetic in part", tables=(Table(headers, tuple(rows), (1, 2)),),
                   missing="The card says nothing about recordings that are synthetic in part.")


def worst(card: Mapping[str, Any]) -> Section:
    node, tables, heard = card.get("worst"), [], []
    kinds = (("systems", "Systems most often taken for people"),
             ("bona_fide_sources", "Sources of real speech most often taken for synthetic"))
    for key, title in kinds:
        rows = []
        for entry in entries(at(node, key)):
            share, wrong, clips = measure(entry.get("share_wrong")), whole(entry.get("wrong")), whole(entry.get("clips"))
            name = text(entry.get("name"))
            rows.append((name, family_words(text(entry.get("family"))), f"{_count(wrong)} of {_count(clips)}",
                         share.percent() if share else ""))
            for e in entries(entry.get("listen")):
                score = measure(e.get("score"))
                heard.append((name, text(e.get("clip")), f"{score.value:.2f}".replace("-", "−") if score else "",
                              text(e.get("source")), text(e.get("file"))))
        tables.append(Table(("name", "kind", "wrong", "share [95 % interval]"), tuple(rows), (2, 3), title))
    tables.append(Table(("of", "clip", "score", "public source", "file there"), tuple(heard), (2,), "Clips to listen to"))
    words = (text(at(node, "meaning")),) if any(t.rows for t in tables) and at(node, "meaning") else ()
    return Section("worst", "Where it fails most", words, tables=tuple(tables),
                   missing="The card lists no worst cases.")
