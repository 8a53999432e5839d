"""From held-out scores to the figures of the model card: rates with intervals, calibration, hybrids, ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core import metrics
from core.calibrate import Calibration, fit_calibration
from core.checks import lowest, part_evidence
from core.training.baselines import balanced_weights
from core.training.corpus import Clip

FRAME_S = 0.02
LEAD_FALSE_ALARM = 0.1  # share of bona fide frames that a lead may take for synthetic


class HeldOut:
    """Scores of clips beside what is known about them, as arrays in one order."""

    def __init__(self, clips: Sequence[Clip], scores: Mapping[str, float]) -> None:
        self.clips = [c for c in clips if c.clip in scores]
        self.score = np.array([scores[c.clip] for c in self.clips])
        self.bonafide = np.array([c.bonafide for c in self.clips])
        self.system = np.array([c.system for c in self.clips])
        self.family = np.array([c.family for c in self.clips])
        self.source = np.array([c.source for c in self.clips])
        self.group = np.array([(c.speaker or f"{c.source}:{c.clip}") if c.bonafide else c.system for c in self.clips])

    def eer(self, spoof: np.ndarray | None = None, bonafide: np.ndarray | None = None, n: int = 500) -> dict:
        """Pooled EER with a bootstrap interval over speakers and systems; masks choose a part of either class."""
        b = self.bonafide & (True if bonafide is None else bonafide)
        s = ~self.bonafide & (True if spoof is None else spoof)
        interval = metrics.eer_interval(self.score[b], self.score[s], self.group[b], self.group[s], n=n)
        return {"value": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4),
                "bona_fide": int(b.sum()), "spoof": int(s.sum())}

    def macro(self, n: int = 300) -> tuple[dict, dict[str, float]]:
        """Mean over systems of each one's EER against all bona fide clips, with interval; and the EER per system."""
        b = self.bonafide
        interval, systems = metrics.macro_eer(self.score[b], self.score[~b], self.system[~b], self.group[b], n=n)
        return ({"value": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4)},
                {name: round(value, 4) for name, value in systems.items()})

    def within_sources(self) -> dict[str, dict]:
        """EER inside each source that has at least 15 clips of both classes: no channel differs there but synthesis."""
        found = {}
        for source in sorted(set(self.source)):
            here = self.source == source
            if min((here & self.bonafide).sum(), (here & ~self.bonafide).sum()) >= 15:
                found[source] = self.eer(here, here, n=200)
        return found


def summary(held: HeldOut) -> dict:
    """The figures every detector and baseline of the card has in common."""
    macro, systems = held.macro()
    families = {f: held.eer(held.family == f, n=200) for f in sorted(set(held.family[~held.bonafide]))}
    return {"eer_pooled": held.eer(), "eer_macro": macro, "eer_by_family": families,
            "eer_within_source": held.within_sources(), "eer_by_system": systems}


def calibrate(held: HeldOut, n_boot: int = 400) -> Calibration:
    """Logistic calibration on held-out scores, weighted so that no source or system dominates."""
    return fit_calibration(held.score, held.bonafide.astype(int), held.group, balanced_weights(held.clips),
                           n_boot=n_boot)


def calibration_figures(held: HeldOut, n: int = 300) -> dict:
    """Cllr, its minimum, and DCFs of LLRs cross-validated over sources: each source by a calibration without it."""
    llr = np.full(len(held.score), np.nan)
    for source in sorted(set(held.source)):
        test = held.source == source
        kept = [c for c, out in zip(held.clips, test, strict=True) if not out]
        rest = HeldOut(kept, {c.clip: s for c, s in zip(held.clips, held.score, strict=True)})
        llr[test] = calibrate(rest, n_boot=2).apply_many(held.score[test])[0]
    b = held.bonafide
    groups = (held.group[b], held.group[~b])

    def interval(fn, scale: float = 1.0) -> dict:
        got = metrics.bootstrap_interval(fn, llr[b] * scale, llr[~b] * scale, *groups, n=n)
        return {"value": round(got.value, 4), "low": round(got.low, 4), "high": round(got.high, 4)}

    return {"cllr": interval(metrics.cllr), "cllr_min": interval(metrics.cllr_min),
            "min_dcf": interval(metrics.min_dcf), "act_dcf": interval(metrics.act_dcf, metrics.LN10)}


def whole_figures(hybrids: Sequence[Mapping]) -> dict:
    """Hybrids against their own hosts as they were, by the clip score, by the lowest tenth of the frame scores, and by
    both together (the clip score times ``share``, which gives both the same deviation over hosts, added to the lowest
    tenth): EER with an interval over hybrids, how many are caught where one host in twenty is called, and by how much
    the clip score's EER is the higher.
    """
    sides = {side: (np.array([float(h[f"{side}clip"]) for h in hybrids]),
                    np.array([lowest(h[f"{side}frames"]) for h in hybrids])) for side in ("host_", "")}
    share = float(sides["host_"][1].std() / max(sides["host_"][0].std(), 1e-9))
    told = {"clip_score": lambda clip, low: clip, "lowest_frames": lambda clip, low: low,
            "both": lambda clip, low: part_evidence(low, clip, share)}
    rows = np.random.default_rng(0).integers(0, len(hybrids), (200, len(hybrids)))
    found, draws = {}, {}
    for name, of in told.items():
        real, partly = of(*sides["host_"]), of(*sides[""])
        draws[name] = np.array([metrics.eer(real[i], partly[i])[0] for i in rows])
        limit = float(np.quantile(real, 0.05))
        found[f"whole_by_{name}"] = _figure(metrics.eer(real, partly)[0], draws[name]) | {
            "limit": round(limit, 4), "caught": round(float((partly < limit).mean()), 4), "hybrids": len(hybrids)}
    gain = found["whole_by_clip_score"]["value"] - found["whole_by_both"]["value"]
    found["whole_by_both"] |= {"share": round(share, 4),
                               "clip_score_worse_by": _figure(gain, draws["clip_score"] - draws["both"])}
    return found


def _figure(value: float, draws: np.ndarray) -> dict[str, float]:
    low, high = (float(v) for v in np.quantile(draws, [0.025, 0.975]))
    return {"value": round(float(value), 4), "low": round(low, 4), "high": round(high, 4)}


def hybrid_figures(hybrids: Sequence[Mapping]) -> tuple[dict, float]:
    """Range EER of the frame head and of the clip head slid along; and the frame logit below which a frame counts as a
    lead: one in ten bona fide frames of held-out hybrids falls below it (at the EER threshold leads would be everywhere).
    """

    def recording(hybrid: Mapping, key: str, hop: float) -> metrics.FrameScores:
        return metrics.FrameScores(np.asarray(hybrid[key]), hop, [tuple(np.asarray(hybrid["span"]).tolist())],
                                   float(hybrid["duration_s"]))

    def slid(hybrid: Mapping) -> metrics.FrameScores:
        # A window of 0.8 s answers for its centre; linear between centres, the ends are held.
        values = np.asarray(hybrid["slid"], float)
        centres = 0.4 + float(hybrid.get("slid_step_s", 0.2)) * np.arange(len(values))
        times = FRAME_S * (np.arange(len(hybrid["frames"])) + 0.5)
        return recording({**hybrid, "slid": np.interp(times, centres, values)}, "slid", FRAME_S)

    frames = [recording(h, "frames", FRAME_S) for h in hybrids]
    rate, threshold = metrics.range_eer(frames)
    rng = np.random.default_rng(0)
    draws = [metrics.range_eer([frames[i] for i in rng.integers(0, len(frames), len(frames))])[0] for _ in range(100)]
    low, high = np.quantile(draws, [0.025, 0.975])
    clip_rate, _ = metrics.range_eer([slid(h) for h in hybrids])
    f1 = metrics.range_f1(frames, threshold)["f1"]
    real = np.concatenate([f.scores[f.seconds()[1] == 0] for f in frames])
    lead = float(np.quantile(real, LEAD_FALSE_ALARM))
    leads = metrics.range_f1(frames, lead)
    return ({"range_eer_frame_head": {"value": round(rate, 4), "low": round(float(low), 4),
                                      "high": round(float(high), 4), "hybrids": len(frames)},
             "range_eer_clip_head_slid": {"value": round(clip_rate, 4)},
             "range_f1_at_eer_threshold": round(f1, 4),
             "leads_recall_at_10_percent_false_alarm": round(leads["recall"], 4)}, lead)
