"""How a detector's error rate moves when recordings have been through something: one row per degradation and level.

Every held-out clip is degraded in every way of ``core.training.robustness_conditions`` and scored. The rate under a
condition is compared with the clean rate *of the same clips* (those on which the detector gives a score both times), by a
bootstrap that draws the same speakers and systems for both. Scores are kept in a CSV as they come, so a run that was
stopped goes on where it was. Nothing here knows a detector: it is handed in as a function.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import metrics
from core.bootstrap import GroupResampler, Interval, eer_many, percentile_interval
from core.training.robustness_conditions import CONDITIONS, NOT_MEASURED, Condition
from core.training.robustness_scores import Heard, Keeper, RobustnessError, read_scores
from core.validation_tables import trials_warning

Scorer = Callable[[np.ndarray], tuple[float, bool]]
CLEAN = Condition("clean", "as it is", "clean", lambda x, rng: x)
WITHIN, ABSTAINS, EXCEEDS, UNMEASURED = "within a third", "abstains", "exceeds", "not measured"
THIRD = 1 / 3
LEAST = 10  # clips of a class that an error rate is given for
MOSTLY = 0.5  # share of clips from which on a detector counts as abstaining
DEFINITION = (
    "Each held-out clip is degraded once per row and scored. EER is that of the clips on which the detector gives a "
    "score both clean and degraded; its rise is relative to the clean EER of the same clips, with 95 % intervals from a "
    "bootstrap over speakers and systems that is paired between both. Verdict: 'abstains' where the detector gives no "
    "finding for at least half of the degraded clips; else 'within a third' where the rise is less than a third of the "
    "clean value, 'exceeds' where it is more; 'sure' says that the whole interval of the rise is on the same side."
)
WRONG = ("Wrong: shares of the degraded bona fide clips and spoofs with a score whose calibrated finding points the "
         "other way.")


@dataclass(frozen=True, eq=False)
class TestClip:
    """A held-out clip. samples: float32 (n,) at 16 kHz, or a function that loads them; group: speaker or system."""

    __test__ = False  # not a test of pytest's

    clip: str
    bonafide: bool
    group: str
    samples: np.ndarray | Callable[[], np.ndarray]

    def load(self) -> np.ndarray:
        return np.asarray(self.samples() if callable(self.samples) else self.samples, np.float32)


@dataclass(frozen=True)
class RobustnessRow:
    """One row. clips: degraded clips; n: (bona fide, spoofed) ones that the rates are of; eer_clean: of the same clips;
    rise: of the EER relative to it, as a fraction; abstention: share of clips without a finding; failed: clips that could
    not be degraded or scored; wrong: shares of the (bona fide, spoofed) clips with a score that are on the wrong side of
    ``zero``.
    """

    condition: str
    level: str
    kind: str
    telephone: bool
    clips: int
    n: tuple[int, int]
    eer: Interval | None
    eer_clean: float | None
    rise: Interval | None
    abstention: float
    failed: int
    verdict: str
    sure: bool
    wrong: tuple[float, float] | None = None
    warning: str = ""


def robustness_table(
    scorer: Scorer,
    clips: Sequence[TestClip],
    *,
    key: str = "",
    conditions: Sequence[Condition] = CONDITIONS,
    scores: Path | None = None,
    seed: int = 0,
    workers: int = 1,
    n_boot: int = 400,
    zero: float | None = None,
    on_progress: Callable[[int, int], Any] | None = None,
) -> list[RobustnessRow]:
    """The table, its first row clean.

    key : names detector and data (a digest); kept scores under another key are not used
    scores : CSV of this detector alone, in which every score is kept as it comes and from which a later call goes on
    workers : processes that degrade; the scorer always runs here
    zero : the score of a finding that says nothing, to count findings on the wrong side

    Raises RobustnessError where a class is missing, a clip is named twice or the scores can't be kept.
    """
    if not {True, False} <= {c.bonafide for c in clips}:
        raise RobustnessError("The robustness table needs bona fide and spoofed clips.")
    if len({c.clip for c in clips}) != len(clips):
        raise RobustnessError("A clip is given twice to the robustness table.")
    rows = [CLEAN, *conditions]
    known = read_scores(scores, key) if scores else {}
    missing = [(c, [r for r in rows if (c.clip, r.key) not in known]) for c in clips]
    total, done = len(clips) * len(rows), len(clips) * len(rows) - sum(len(m) for _, m in missing)
    with Keeper(scores, key, known) as keeper:
        for clip, condition, heard in _hear(scorer, [m for m in missing if m[1]], seed, workers):
            known[clip.clip, condition.key] = heard
            keeper.add(clip.clip, condition.key, heard)
            done += 1
            if on_progress:
                on_progress(done, total)
    return [_row(r, clips, known, n_boot, seed, zero) for r in rows]


# ---- hearing -----------------------------------------------------------------------------------------------------


def _degrade(job: tuple[Condition, np.ndarray, int]) -> tuple[np.ndarray | None, str]:
    condition, samples, seed = job
    try:
        return condition.apply(samples, np.random.default_rng(seed)), ""
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        return None, f"{type(error).__name__}: {error}"[:200]


def _hear(scorer: Scorer, todo: Sequence[tuple[TestClip, list[Condition]]], seed: int,
          workers: int) -> Iterator[tuple[TestClip, Condition, Heard]]:
    """Degrade and score, clip by clip: memory holds one clip in all its conditions."""
    pool = None
    if workers > 1 and todo:
        from multiprocessing import get_context

        pool = get_context("spawn").Pool(workers)
    try:
        for clip, conditions in todo:
            try:
                samples = clip.load()
            except (OSError, ValueError) as error:
                for condition in conditions:
                    yield clip, condition, Heard(float("nan"), False, f"{type(error).__name__}: {error}"[:200])
                continue
            jobs = [(c, samples, zlib.crc32(f"{seed}|{clip.clip}|{c.key}".encode()))
                    for c in conditions if c is not CLEAN]
            made = iter(pool.imap(_degrade, jobs) if pool else map(_degrade, jobs))
            for condition in conditions:
                degraded, problem = (samples, "") if condition is CLEAN else next(made)
                heard = Heard(float("nan"), False, problem) if degraded is None else _score(scorer, degraded)
                yield clip, condition, heard
    finally:
        if pool:
            pool.terminate()
            pool.join()


def _score(scorer: Scorer, samples: np.ndarray) -> Heard:
    score, abstained = scorer(samples)
    if not abstained and not np.isfinite(score):
        return Heard(float("nan"), False, "the score is not finite")
    return Heard(float(score), bool(abstained))


# ---- judging -----------------------------------------------------------------------------------------------------


def _row(condition: Condition, clips: Sequence[TestClip], known: Mapping[tuple[str, str], Heard], n_boot: int,
         seed: int, zero: float | None) -> RobustnessRow:
    clean = [known[c.clip, CLEAN.key] for c in clips]
    here = [known[c.clip, condition.key] for c in clips]
    both = np.array([a.answered and b.answered for a, b in zip(clean, here, strict=True)])
    bona = np.array([c.bonafide for c in clips])
    group = np.array([c.group for c in clips])
    failed = sum(bool(h.problem) for h in here)
    abstention = float(np.mean([h.abstained for h in here]))
    common = {"condition": condition.name, "level": condition.level, "kind": condition.kind, "clips": len(clips),
              "telephone": condition.telephone, "abstention": abstention, "failed": failed}
    count = int((both & bona).sum()), int((both & ~bona).sum())
    if min(count) < LEAST:
        verdict = ABSTAINS if abstention >= MOSTLY else UNMEASURED
        return RobustnessRow(**common, n=count, eer=None, eer_clean=None, rise=None, verdict=verdict, sure=True,
                             warning=f"fewer than {LEAST} clips of one class were answered")
    scores = [np.array([h.score for h in side]) for side in (clean, here)]
    eer, before, rise = _paired(*scores, both & bona, both & ~bona, group, n_boot, seed)
    verdict, sure = _verdict(condition, eer, before, rise, abstention)
    there = np.array([h.answered for h in here])
    wrong = None if zero is None else (float(np.mean(scores[1][there & bona] < zero)),
                                       float(np.mean(scores[1][there & ~bona] > zero)))
    return RobustnessRow(**common, n=count, eer=eer, eer_clean=before, rise=rise, verdict=verdict, sure=sure,
                         wrong=wrong, warning=trials_warning(*count))


def _paired(clean: np.ndarray, here: np.ndarray, b: np.ndarray, s: np.ndarray, group: np.ndarray, n_boot: int,
            seed: int) -> tuple[Interval, float, Interval | None]:
    """EER here, clean EER of the same clips, and the relative rise; the same groups are drawn for both. b, s: masks."""
    rng = np.random.default_rng(seed)
    counts_b = GroupResampler(group[b], int(b.sum()), rng).counts(n_boot)
    counts_s = GroupResampler(group[s], int(s.sum()), rng).counts(n_boot)
    now, before = (metrics.eer(x[b], x[s])[0] for x in (here, clean))
    drawn_now, drawn_before = (eer_many(x[b], x[s], counts_b, counts_s) for x in (here, clean))
    rise = None
    if before > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = drawn_now / drawn_before - 1
        rise = percentile_interval(now / before - 1, draws, 0.95)
    return percentile_interval(now, drawn_now, 0.95), before, rise


def _verdict(condition: Condition, eer: Interval, before: float, rise: Interval | None,
             abstention: float) -> tuple[str, bool]:
    """(verdict, whether the interval of the rise leaves no doubt about it)."""
    if condition is not CLEAN and abstention >= MOSTLY:
        return ABSTAINS, True
    if rise is None:  # no error on the clean clips: any error is too much
        return (WITHIN, True) if eer.value == before else (EXCEEDS, eer.low > before)
    if rise.value < THIRD:
        return WITHIN, not rise.high >= THIRD
    return EXCEEDS, not rise.low < THIRD


# ---- card --------------------------------------------------------------------------------------------------------


def to_card(rows: Sequence[RobustnessRow]) -> dict[str, Any]:
    """The table as the model card has it: definition, rows, counts of verdicts, and what could not be measured."""
    judged = [r for r in rows if r.condition != CLEAN.name]
    return {
        "definition": DEFINITION, "wrong_side": WRONG,
        "rows": [_card_row(r) for r in rows],
        "verdicts": {v: sum(r.verdict == v for r in judged) for v in (WITHIN, ABSTAINS, EXCEEDS, UNMEASURED)},
        "not_measured": [{"condition": c, "level": level, "reason": why} for c, level, why in NOT_MEASURED],
    }


def _card_row(row: RobustnessRow) -> dict[str, Any]:
    def interval(i: Interval | None) -> dict[str, float | None] | None:
        ends = {"value": "value", "low": "low", "high": "high"}
        return None if i is None else {k: round(v, 4) if np.isfinite(v := getattr(i, k)) else None for k in ends}

    return {"condition": row.condition, "level": row.level, "kind": row.kind, "telephone": row.telephone,
            "clips": row.clips, "bona_fide": row.n[0], "spoof": row.n[1], "eer": interval(row.eer),
            "eer_clean_same_clips": None if row.eer_clean is None else round(row.eer_clean, 4),
            "rise": interval(row.rise), "abstention": round(row.abstention, 4), "failed": row.failed,
            "verdict": row.verdict, "sure": row.sure, "warning": row.warning,
            "wrong_side": None if row.wrong is None else [round(share, 4) for share in row.wrong]}
