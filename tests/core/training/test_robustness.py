"""Degradations do what their names say; the table judges by the rise on the same clips; a stopped run goes on."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from core.training import robustness_conditions as c
from core.training.robustness import (
    ABSTAINS,
    EXCEEDS,
    THIRD,
    UNMEASURED,
    WITHIN,
    RobustnessError,
    TestClip,
    robustness_table,
    to_card,
)
from tests.factories import voiced

BY_KEY = {x.key: x for x in c.CONDITIONS}
SPEECH = (0.3 * voiced(2.0, seed=4) / np.abs(voiced(2.0, seed=4)).max()).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def level(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def band_power(x: np.ndarray, low: float, high: float) -> float:
    power, f = np.abs(np.fft.rfft(x)) ** 2, np.fft.rfftfreq(len(x), 1 / 16_000)
    return float(power[(f >= low) & (f < high)].sum() / power.sum())


@pytest.mark.parametrize("condition", c.CONDITIONS, ids=lambda x: x.key)
def test_every_condition_keeps_length_and_range_and_can_be_repeated(condition):
    first, again = condition.apply(SPEECH, rng()), condition.apply(SPEECH, rng())
    assert first.shape == SPEECH.shape and first.dtype == np.float32
    assert np.isfinite(first).all() and np.abs(first).max() <= c.PEAK + 1e-6
    assert np.array_equal(first, again)
    assert level(first) > 0.003 and not np.array_equal(first, SPEECH)


def test_the_table_has_what_it_must_have():
    assert len(BY_KEY) == len(c.CONDITIONS), "no condition twice"
    names = {x.name for x in c.CONDITIONS} | {name for name, _, _ in c.NOT_MEASURED}
    assert names >= {"white noise", "babble-like noise", "MP3", "AAC", "Opus", "AMR-NB", "AMR-WB", "G.711 mu-law",
                     "G.711 A-law", "GSM full rate", "G.722", "Vorbis", "tandem", "band limit", "room", "packet loss",
                     "clipping", "level", "resampling"}


def test_what_is_said_to_have_no_encoder_has_none():
    import av
    import soundfile as sf

    writable = set()
    for name in av.codecs_available:
        if "amr" in name:
            try:
                av.codec.Codec(name, "w")
                writable.add(name)
            except (ValueError, av.error.FFmpegError):
                pass
    assert not any("wb" in name for name in writable)
    assert not any("AMR" in s for f in sf.available_formats() for s in sf.available_subtypes(f))


@pytest.mark.parametrize("kind", ["white noise", "babble-like noise"])
@pytest.mark.parametrize("snr", [30, 10])
def test_noise_is_at_its_ratio(kind, snr):
    condition = BY_KEY[f"{kind} | {snr} dB SNR"]
    y = condition.make(SPEECH, rng())
    assert 20 * np.log10(level(SPEECH) / level(y - SPEECH)) == pytest.approx(snr, abs=0.1)


def test_babble_sounds_like_a_crowd_not_like_hiss():
    quiet = np.full(48_000, 1e-3, np.float32)
    crowd, hiss = (f(quiet, rng(), snr_db=-40.0) for f in (c.babble, c.white))
    assert band_power(crowd, 0, 4_000) > 0.8 > 0.6 > band_power(hiss, 0, 4_000)

    def swing(x):
        blocks = np.sqrt(np.mean(x[: 48_000].reshape(-1, 800) ** 2, axis=1))
        return blocks.std() / blocks.mean()

    assert swing(crowd) > 3 * swing(hiss), "it has a syllable's modulation"


def test_telephone_conditions_leave_nothing_above_the_band():
    bright = (0.1 * rng().standard_normal(32_000)).astype(np.float32)
    for condition in c.CONDITIONS:
        if condition.telephone and condition.kind in ("codec", "band"):
            assert band_power(condition.apply(bright, rng()), 4_200, 8_000) < 0.02, condition.key


def test_less_bit_rate_is_less_like_the_original():
    def error(key: str) -> float:
        return level(BY_KEY[key].apply(SPEECH, rng()) - SPEECH)

    assert error("MP3 | 32 kbit/s") > error("MP3 | 128 kbit/s")
    assert error("Opus | 6 kbit/s") > error("Opus | 24 kbit/s")
    assert error("Vorbis | quality 0") > error("Vorbis | quality 0.4")


def test_packets_clipping_and_level_are_as_stated():
    ones = np.ones(160_000, np.float32)
    assert np.mean(c.lost_packets(ones, rng(), share=0.1) == 0) == pytest.approx(0.1, abs=0.03)
    y = c.clipped(SPEECH, rng(), share=0.05)
    assert np.mean(np.abs(y) >= np.abs(y).max() * (1 - 1e-5)) == pytest.approx(0.05, abs=0.01)
    assert level(y) == pytest.approx(level(SPEECH), rel=1e-3)
    assert 20 * np.log10(level(c.at_level(SPEECH, rng(), dbfs=-35.0))) == pytest.approx(-35, abs=0.05)


def test_a_room_keeps_the_direct_sound_and_decays_as_stated():
    click = np.zeros(24_000, np.float32)
    click[0] = 1.0
    h = c.room(click, rng(), rt60_s=0.6, direct_db=0.0)
    assert h[0] == pytest.approx(1.0) and np.sum(h[1:] ** 2) == pytest.approx(1.0, rel=0.02)
    energy = np.cumsum(h[:0:-1] ** 2)[::-1]
    early, late = (10 * np.log10(energy[int(t * 16_000)]) for t in (0.05, 0.35))
    assert (early - late) / 0.3 == pytest.approx(60 / 0.6, rel=0.1)


# ---- the table -------------------------------------------------------------------------------------------------


def clips(n: int = 40) -> list[TestClip]:
    """Clips that carry their own score: one sample in the middle tells the class, with overlap."""
    made = []
    for i in range(2 * n):
        value = 0.30 + 0.2 * (i >= n) * -1 + 0.15 * np.sin(i * 2.4)
        made.append(TestClip(f"c{i}", i < n, f"g{i % 9}{i < n}", np.full(400, value, np.float32)))
    return made


def listen(x: np.ndarray) -> tuple[float, bool]:
    return float(x[200]), bool(x[0] > 0.5)


def condition(name: str, make) -> c.Condition:
    return c.Condition(name, "-", "codec", make)


def mixed_up(x, rng):
    return np.full_like(x, rng.uniform(0, 0.5))


def refused(x, rng):
    y = x.copy()
    y[0] = 0.9
    return y


def table(*some: c.Condition, **more):
    return robustness_table(listen, clips(), conditions=some, n_boot=100, **more)


def test_what_changes_nothing_is_within_and_what_mixes_up_exceeds():
    clean, same, mixed = table(condition("same", lambda x, r: 0.5 * x), condition("mixed", mixed_up))
    assert clean.verdict == WITHIN and clean.rise.value == 0 and 0 < clean.eer.value < 0.3
    assert same.verdict == WITHIN and same.sure and same.eer.value == clean.eer.value
    assert (same.rise.low, same.rise.high) == (0, 0), "the bootstrap is paired"
    assert mixed.verdict == EXCEEDS and mixed.sure and mixed.rise.value > THIRD and mixed.eer.value > 0.35
    assert mixed.eer_clean == clean.eer.value and mixed.n == (40, 40) and "few" in mixed.warning


def test_findings_on_the_wrong_side_are_counted_where_the_zero_is_known():
    """What only shifts scores leaves the EER alone and turns findings round."""
    def lower(x, rng):
        return x - 0.5

    assert table()[0].wrong is None
    clean, shifted, gone = table(condition("lower", lower), condition("gone", refused), zero=0.2)
    own = np.array([listen(t.load())[0] for t in clips()])
    assert clean.wrong == (np.mean(own[:40] < 0.2), np.mean(own[40:] > 0.2))
    assert shifted.eer.value == clean.eer.value and shifted.wrong == (1.0, 0.0) and gone.wrong is None
    assert to_card([clean])["rows"][0]["wrong_side"] == [round(w, 4) for w in clean.wrong]


def test_no_rate_is_given_of_a_handful():
    """Nine clips of a class that still get a score are no basis for an error rate."""
    def keeping(k):
        kept = {float(t.load()[200]) for t in (*clips()[:k], *clips()[40:])}
        return condition(f"{k}", lambda x, r: x if float(x[200]) in kept else refused(x, r))

    nine, ten = (robustness_table(listen, clips(), conditions=[keeping(k)], n_boot=20, zero=0.2)[1] for k in (9, 10))
    assert nine.n == (9, 40) and nine.eer is None and nine.wrong is None
    assert nine.verdict == UNMEASURED and "fewer than 10" in nine.warning
    assert ten.n == (10, 40) and ten.eer is not None and ten.wrong is not None


def test_abstaining_on_half_is_abstaining_and_the_rate_is_of_the_rest():
    def some(x, rng):
        return refused(x, rng) if rng.random() < 0.7 else x

    both = [condition("part", some), condition("full", refused)]
    _, part, full = robustness_table(listen, clips(80), conditions=both, n_boot=100)
    assert part.verdict == ABSTAINS == full.verdict and full.abstention == 1 and full.eer is None
    assert 0.5 <= part.abstention < 1 and sum(part.n) == round(160 * (1 - part.abstention))
    assert part.rise.value == 0, "the clips that are left are compared with themselves"


def test_failures_are_counted_and_never_dropped():
    def broken(x, rng):
        raise ValueError("no encoder")

    def nothing(x, rng):
        return np.full_like(x, np.nan)

    _, a, b = table(condition("broken", broken), condition("nan", nothing))
    assert a.failed == b.failed == 80 and a.verdict == b.verdict == UNMEASURED and a.clips == 80
    lost = clips()
    lost[3] = TestClip("lost", True, "g", lambda: (_ for _ in ()).throw(OSError("gone")))
    rows = robustness_table(listen, lost, conditions=[condition("same", lambda x, r: x)], n_boot=10)
    assert [r.failed for r in rows] == [1, 1] and rows[1].n == (39, 40)


def test_a_stopped_run_goes_on_with_the_same_result(tmp_path):
    path, whole = tmp_path / "deep" / "scores.csv", table(condition("mixed", mixed_up))
    heard = 0

    def stops(x):
        nonlocal heard
        heard += 1
        if heard == 60:
            raise KeyboardInterrupt
        return listen(x)

    with pytest.raises(KeyboardInterrupt):
        robustness_table(stops, clips(), conditions=[condition("mixed", mixed_up)], n_boot=100, scores=path, key="k")
    kept = path.read_text()
    assert len(kept.splitlines()) == 60
    path.write_text(kept[:-9])  # the last line torn
    heard = 1_000
    rows = robustness_table(stops, clips(), conditions=[condition("mixed", mixed_up)], n_boot=100, scores=path, key="k")
    assert rows == whole and heard - 1_000 == 160 - 58
    heard = 1_000
    assert robustness_table(stops, clips(), conditions=[condition("mixed", mixed_up)], n_boot=100, scores=path,
                            key="k") == whole
    assert heard == 1_000, "nothing is heard twice"
    robustness_table(stops, clips(), conditions=[], n_boot=10, scores=path, key="another detector")
    assert heard == 1_080, "another detector's scores are not taken over"
    with path.open() as file:
        assert {row["key"] for row in csv.DictReader(file)} == {"another detector"}


def test_two_workers_give_the_same_table():
    some = [BY_KEY["white noise | 5 dB SNR"], BY_KEY["packet loss | 10% of 20 ms packets"]]
    assert robustness_table(listen, clips(4), conditions=some, workers=2, n_boot=20) == robustness_table(
        listen, clips(4), conditions=some, n_boot=20)


def test_bad_calls_are_refused(tmp_path):
    with pytest.raises(RobustnessError, match="bona fide and spoofed"):
        robustness_table(listen, [x for x in clips() if x.bonafide])
    with pytest.raises(RobustnessError, match="twice"):
        robustness_table(listen, clips() + clips())
    (tmp_path / "file").write_text("")
    with pytest.raises(RobustnessError, match="can't be kept"):
        robustness_table(listen, clips(), conditions=[], scores=tmp_path / "file" / "scores.csv")


def test_the_card_is_plain_json_and_names_what_was_not_measured():
    import json

    card = to_card(table(condition("mixed", mixed_up), condition("full", refused)))
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["verdicts"] == {WITHIN: 0, ABSTAINS: 1, EXCEEDS: 1, UNMEASURED: 0}
    assert [r["condition"] for r in card["rows"]] == ["clean", "mixed", "full"]
    assert card["not_measured"][0]["condition"] == "AMR-WB"
