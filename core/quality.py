"""Is there enough examinable speech? Measurements, named checks, and which of them forbid a finding.

A check that is ``fatal`` makes the finding abstain; any other failed check is advice. All limits are in
``QualityLimits``. Measured on an openly licensed corpus (see ``QualityLimits``). What an encoder or a
detector thinks of the speech doesn't belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import speech_bands as sb
from core.audio import Recording
from core.dropouts import dropouts
from core.frames import Track

HOP_S = sb.HOP / 16_000


@dataclass(frozen=True)
class QualityLimits:
    """Where checks fail; ``*_fatal`` forbid a finding, ``*_advice`` are remarks.

    How often they refuse held-out clips, as they are and degraded in 45 ways, stands in the model card's table of
    robustness, which `python -m core evaluate --robustness N` makes.
    """

    speech_fatal_s: float = 0.4
    speech_advice_s: float = 2.0
    silence_fatal_dbfs: float = -65.0     # level of the loudest 5 % of frames
    level_advice_dbfs: float = -45.0      # level of the speech
    clipped_fatal: float = 0.05           # share of samples at the rails
    clipped_advice: float = 0.002
    tonal_fatal: float = 0.35             # share of the active frames that hold steady tones
    tonal_advice: float = 0.2
    bandwidth_fatal_hz: float = 6_000.0   # below it every score moves towards bona fide (the card's robustness table)
    bandwidth_advice_hz: float = 6_500.0
    snr_fatal_db: float = 20.0            # noise moves every score towards synthesis (the same table)
    snr_advice_db: float = 24.0
    dropout_fatal: float = 0.06           # of the speech, as digital silence cut into it; short ones are bridged
    dropout_advice: float = 0.005
    dc_advice: float = 0.02               # of full scale


QUALITY_LIMITS = QualityLimits()


@dataclass(frozen=True)
class Check:
    """One named check. ``fatal`` is True only if it failed so badly that no finding may be given."""

    code: str
    label: str
    value: float | None
    unit: str
    limit: float | None
    passed: bool
    fatal: bool
    message: str


@dataclass(frozen=True, eq=False)
class Quality:
    """Measurements of a recording. ``speech`` is 0/1 per 20 ms; shares lie in 0..1, levels re full scale."""

    speech_s: float
    snr_db: float
    level_dbfs: float
    peak_dbfs: float
    clipped_share: float
    dc_offset: float
    bandwidth_hz: float
    tonal_share: float
    silence_share: float
    dropout_share: float
    speech: Track
    checks: tuple[Check, ...]

    @property
    def fatal(self) -> tuple[Check, ...]:
        """The checks that forbid a finding."""
        return tuple(check for check in self.checks if check.fatal)


def measure_quality(recording: Recording, limits: QualityLimits = QUALITY_LIMITS) -> Quality:
    """All measurements and checks; about 15 ms for a minute of audio, memory bounded for hours."""
    samples = recording.samples
    peak, dc, clipped = _sample_statistics(samples)
    power = sb.band_power(samples)                         # (T, 25)
    persistence, harmonicity = sb.fine_structure_tracks(samples)
    level_db = _db(power.sum(axis=1))                      # (T,)
    top_db = float(_quantile(level_db, 0.95))
    excess_db, noise = _excess_over_noise(power, top_db)   # (T,), (T,)
    active = level_db > max(top_db - 30.0, -85.0)
    tonal = persistence[sb.frame_of_tonal(len(active), len(persistence))] > TONAL_PERSISTENCE
    speech = _speech_frames(active & (excess_db > SPEECH_EXCESS_DB), tonal, harmonicity)
    counted = speech if speech.any() else active
    signal = float(power.sum(axis=1)[counted].mean()) if counted.any() else 0.0
    noise_power = float(noise[counted].mean()) if counted.any() else 0.0
    measured = {
        "speech_s": float(speech.sum() * HOP_S),
        "snr_db": float(np.clip(_db(max(signal - noise_power, 0.0)) - _db(noise_power), -20.0, 80.0)),
        "level_dbfs": float(_db(signal)), "peak_dbfs": float(2 * _db(peak)), "clipped_share": clipped,
        "dc_offset": dc, "bandwidth_hz": min(recording.facts.bandwidth_hz, 8_000.0),
        "tonal_share": float(tonal[active].mean()) if active.any() else 0.0,
        "silence_share": float((level_db < max(top_db - 45.0, -75.0)).mean()),
    }
    lost_s = sum(b - a for a, b in dropouts(samples, 10 ** (measured["level_dbfs"] / 20))) / 16_000
    measured["dropout_share"] = min(1.0, lost_s / max(measured["speech_s"], HOP_S))
    track = Track("speech", speech.astype(np.float32), HOP_S, HOP_S / 2, "", "1 where speech was found")
    return Quality(**measured, speech=track, checks=_checks(measured, top_db, limits))


# -- measurements --------------------------------------------------------------------------------------------

TONAL_PERSISTENCE = 0.75  # noise 0, speech seldom above (even of flat pitch), tones and chords 0.9 and more
SPEECH_EXCESS_DB = 4.0    # mean over bands above the noise; stationary noise reaches 1 to 2
VOICED = 15.0             # harmonicity; stationary noise exceeds it in 2 % of frames
_NOISE_QUANTILE = 0.1
_CHUNK = 3_000            # frames, 60 s: noise may change over a long recording


def _db(power):
    return 10.0 * np.log10(np.maximum(power, 1e-12))


def _quantile(values: np.ndarray, q: float, axis: int = 0) -> np.ndarray:
    """Lower quantile without interpolation; cheaper than np.quantile."""
    k = int(q * (values.shape[axis] - 1))
    return np.partition(values, k, axis=axis).take(k, axis=axis)


def _sample_statistics(samples: np.ndarray) -> tuple[float, float, float]:
    """Peak, mean, and share of samples at the rails (within 1 % of the peak, at most of full scale)."""
    block = 1 << 20
    parts = [samples[i : i + block] for i in range(0, len(samples), block)]
    peak = max((float(max(part.max(), -part.min())) for part in parts), default=0.0)
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / max(1, len(samples))
    rail = 0.99 * min(peak, 1.0)
    if rail < 1e-4:
        return peak, mean, 0.0
    count = sum(int(np.count_nonzero(part >= rail)) + int(np.count_nonzero(part <= -rail)) for part in parts)
    return peak, mean, count / len(samples)


def _low_quantile_ratio(q_normal: float = -1.2816) -> np.ndarray:
    """Tenth percentile over mean of a noise band's power, per band: chi-square by Wilson and Hilferty (1931).

    A Hann frame leaves about 0.7 x 2 independent values per bin.
    """
    freedom = 1.4 * np.diff(sb.BAND_EDGES)
    return np.maximum(1 - 2 / (9 * freedom) + q_normal * np.sqrt(2 / (9 * freedom)), 0.2) ** 3


def _excess_over_noise(power: np.ndarray, top_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean dB by which the speech bands exceed the noise floor, and the noise power, both per frame.

    The floor of a band is its tenth percentile over about a minute, raised by what stationary noise would
    need. Near-silent frames (digital silence between utterances) are left out, or they would hide the noise.
    """
    ratio = _low_quantile_ratio().astype(np.float32)
    excess, noise = np.empty(len(power), np.float32), np.empty(len(power), np.float32)
    for part in np.array_split(np.arange(len(power)), max(1, round(len(power) / _CHUNK))):
        chunk = power[part[0] : part[-1] + 1]
        total_db = _db(chunk.sum(axis=1))
        top = max(float(_quantile(total_db, 0.95)), top_db - 40.0)
        heard = chunk[total_db > max(top - 50.0, -85.0)]
        floor = (_quantile(heard, _NOISE_QUANTILE) if len(heard) else chunk.max(axis=0)) / ratio  # (25,)
        floor = np.maximum(floor, 1e-12)
        over = _db(chunk[:, sb.SPEECH_BANDS]) - _db(floor[sb.SPEECH_BANDS])
        excess[part] = np.maximum(over, 0.0).mean(axis=1)
        noise[part] = floor.sum()
    return excess, noise


def _speech_frames(lively: np.ndarray, tonal: np.ndarray, harmonicity: np.ndarray) -> np.ndarray:
    """Frames of speech: lively, near voiced sound (half a second), gaps closed, clicks and long tones out."""
    voiced = np.convolve(harmonicity > VOICED, np.ones(15), "same") >= 3
    speech = lively & voiced[sb.frame_of_tonal(len(lively), len(voiced))]
    speech &= ~_keep_runs(tonal, 25)              # steady tones of half a second and more
    speech = ~_keep_runs(~speech, 9)              # gaps of up to 160 ms belong to speech (stops)
    return _keep_runs(speech, 4)                  # less than 80 ms is a click


def _keep_runs(mask: np.ndarray, least: int) -> np.ndarray:
    """The mask with runs of True shorter than ``least`` taken out."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    kept = stops - starts >= least
    change = np.zeros(len(mask) + 1, np.int8)
    change[starts[kept]] += 1
    change[stops[kept]] -= 1
    return np.cumsum(change[:-1]).astype(bool)


# -- checks --------------------------------------------------------------------------------------------------

def _checks(measured: dict[str, float], top_db: float, limits: QualityLimits) -> tuple[Check, ...]:
    m, n = measured, limits
    return (
        _check("silence", "Sound", top_db, "dBFS", n.silence_fatal_dbfs, None,
               ("the recording is silent or nearly so", "", "loud enough to be examined")),
        _check("too-little-speech", "Speech", m["speech_s"], "s", n.speech_fatal_s, n.speech_advice_s,
               ("there is too little of it", "the finding rests on little", "enough to be examined")),
        _check("low-snr", "Signal to noise", m["snr_db"], "dB", n.snr_fatal_db, n.snr_advice_db,
               ("too much noise for a score to be trusted", "noise may move the score",
                "the speech stands clear of the noise")),
        _check("tones", "Music or tones", m["tonal_share"], "share", n.tonal_fatal, n.tonal_advice,
               ("steady tones or music fill the recording", "there may be music or tones beside the speech",
                "few steady tones, as in speech"), upper=True),
        _check("clipping", "Clipping", m["clipped_share"], "share", n.clipped_fatal, n.clipped_advice,
               ("the waveform is cut off", "some peaks are cut off", "no peaks are cut off"), upper=True),
        _check("dropouts", "Dropouts", m["dropout_share"], "share", n.dropout_fatal, n.dropout_advice,
               ("too much of the speech is missing", "short stretches of the speech are missing, as with lost packets "
                "(the panel hears them bridged, up to 62 ms)", "no stretches are missing"), upper=True),
        _check("narrow-bandwidth", "Bandwidth", m["bandwidth_hz"], "Hz", n.bandwidth_fatal_hz,
               n.bandwidth_advice_hz, ("part of the band that the detector was calibrated on is missing",
                                       "high frequencies are missing", "the speech band is complete")),
        _check("level", "Speech level", m["level_dbfs"], "dBFS", None, n.level_advice_dbfs,
               ("", "the speech is very quiet", "a usual level")),
        _check("dc-offset", "DC offset", abs(m["dc_offset"]), "full scale", None, n.dc_advice,
               ("", "the waveform doesn't swing about zero", "the waveform swings about zero"), upper=True),
    )


def _check(code: str, label: str, value: float, unit: str, fatal_at: float | None, advice_at: float | None,
           words: tuple[str, str, str], *, upper: bool = False) -> Check:
    """A check against one or two limits; ``upper`` means that more is worse.

    words : what to say when it is fatal, when it is advice, when it passes.
    """
    def beyond(limit: float | None) -> bool:
        return limit is not None and (value > limit if upper else value < limit)

    fatal, advice = beyond(fatal_at), beyond(advice_at)
    limit = fatal_at if fatal or advice_at is None else advice_at
    shown = _figure(value, unit)
    if fatal or advice:
        relation, need = "at most" if upper else "at least", "needed" if fatal else "wanted"
        shown += f", where {relation} {_figure(limit, unit)} is {need}"
    message = f"{label}: {shown}; {words[0 if fatal else 1 if advice else 2]}."
    return Check(code, label, value, unit, limit, not (fatal or advice), fatal, message)


def _figure(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"
    if unit in ("dBFS", "dB", "Hz"):
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}" if unit == "s" else f"{value:.3f} of {unit}"
