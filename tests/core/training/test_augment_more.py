"""Each degradation does what it claims: measured on signals whose answer is known."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.training import augment, augment_chain, augment_codec, augment_device, augment_noise, augment_room, augment_time
from core.training.augment_chain import DEGRADATIONS, LEVELS
from tests.factories import voiced

X = voiced(1.5)
RATE = 16_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level_db(y: np.ndarray, low: float, high: float) -> float:
    """Power between two frequencies, dB."""
    power = np.abs(np.fft.rfft(y * np.hanning(len(y)))) ** 2
    hz = np.fft.rfftfreq(len(y), 1 / RATE)
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].sum() + 1e-12))


def rms(y: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(y, dtype=np.float64))))


# -- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_is_finite_seeded_and_keeps_its_length(name: str) -> None:
    _, levels = LEVELS[name]
    for level in (levels[0], levels[-1]):
        a, b = (DEGRADATIONS[name](X, rng(3), level) for _ in range(2))
        assert a.dtype == np.float32 and np.isfinite(a).all() and np.array_equal(a, b)
        if name not in ("speed", "pause", "trimming"):
            assert a.shape == X.shape
        assert not np.array_equal(a[: len(X)], X[: len(a)]) or name in ("trimming", "clicks")


def test_every_degradation_has_levels_and_a_unit() -> None:
    assert set(LEVELS) == set(DEGRADATIONS)
    assert all(unit and levels for unit, levels in LEVELS.values())


@pytest.mark.parametrize("name", ["white noise", "pink noise", "clicks", "clipping", "packet loss", "low-pass",
                                  "codec opus", "codec aac", "convolutive noise", "impulsive noise"])
def test_a_higher_level_of_the_table_changes_more(name: str) -> None:
    def change(level: float) -> float:
        return float(np.mean([rms(DEGRADATIONS[name](X, rng(seed), level) - X) for seed in range(3)]))

    _, levels = LEVELS[name]
    assert change(levels[-1]) > change(levels[0])


def test_nothing_here_can_see_a_label() -> None:
    for make in [*DEGRADATIONS.values(), *(step for step, _ in augment_chain.steps())]:
        assert not {"label", "bonafide", "clip"} & set(inspect.signature(make).parameters)
    for seed in range(4):  # the same sound and seed, whatever it is called
        assert np.array_equal(augment.degrade(X, rng(seed)), augment.degrade(X.copy(), rng(seed)))


@pytest.mark.parametrize("step", [step for step, _ in augment_chain.steps()] + [augment.degrade])
def test_steps_of_the_chain_keep_length_at_any_level(step) -> None:
    for x in (X, 1e-4 * X, np.zeros(8000, np.float32)):
        y = step(x.astype(np.float32), rng(1))
        assert y.shape == x.shape and np.isfinite(y).all() and y.dtype == np.float32


@pytest.mark.parametrize("step", [step for step, _ in augment_chain.steps(exact=True)])
def test_exact_steps_leave_everything_in_its_place(step) -> None:
    burst = np.zeros(RATE, np.float32)
    burst[6000:9000] = voiced(3000 / RATE, 2)
    y = step(burst, rng(2))
    power = np.convolve(y.astype(np.float64) ** 2, np.ones(160), "same")
    assert 5800 < np.argmax(power > 0.3 * power.max()) < 9000


# -- convolutive, impulsive, stationary --------------------------------------------------------------------------------


def test_a_linear_filter_makes_no_new_frequencies_and_a_nonlinear_one_does() -> None:
    x = tone(1000)
    linear = augment_noise.convolutive(x, rng(1), orders=1)
    bent = augment_noise.convolutive(x, rng(1), orders=5, nonlinear_db=-6)
    assert level_db(linear, 1900, 2100) < level_db(linear, 950, 1050) - 60
    assert level_db(bent, 1900, 2100) > level_db(bent, 950, 1050) - 40


def test_notches_are_notches() -> None:
    response = np.abs(np.fft.rfft(augment_noise.notch_filter(rng(3)), 2048))
    assert response.min() < 0.7 < 0.95 < response.max() < 1.2


def test_impulsive_noise_follows_the_signal_and_its_share() -> None:
    x = np.concatenate([np.zeros(RATE, np.float32), tone(300)])
    y = augment_noise.signal_dependent(x, rng(), share=0.1)
    assert np.array_equal(y[:RATE], x[:RATE])
    assert 0.07 < np.mean(y[RATE:] != x[RATE:]) < 0.11


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 40), st.integers(0, 100))
def test_stationary_noise_has_the_ratio_asked_for(snr_db: float, seed: int) -> None:
    added = augment_noise.independent(X, rng(seed), snr_db=snr_db) - X
    assert 20 * np.log10(rms(X) / rms(added)) == pytest.approx(snr_db, abs=0.05)


def test_clicks_are_short_and_as_many_as_asked() -> None:
    counts = []
    for seed in range(20):
        changed = augment_noise.clicks(X, rng(seed), per_second=5) != X
        counts.append(np.sum(np.diff(changed.astype(int)) == 1))
    assert 0.5 * 5 * 1.5 < np.mean(counts) < 2 * 5 * 1.5


# -- rooms -----------------------------------------------------------------------------------------------------------


def test_the_direct_sound_comes_when_and_as_loud_as_geometry_says() -> None:
    size, source, microphone = np.array([5.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.5]), np.array([4.0, 1.0, 1.5])
    response = augment_room.image_response(size, source, microphone, 0.7, 0.03)
    arrival = 3.0 / 343.0 * RATE
    assert not response[: int(arrival)].any()
    assert response[int(arrival) : int(arrival) + 2].sum() == pytest.approx(1 / 3, rel=1e-6)


def test_the_first_echo_is_the_nearest_wall() -> None:
    size, source, microphone = np.array([50.0, 40.0, 30.0]), np.array([25.0, 20.0, 1.0]), np.array([26.0, 20.0, 1.0])
    response = augment_room.image_response(size, source, microphone, 0.5, 0.02)
    path = np.sqrt(1 + 2.0**2)  # by the floor, 1 m below
    echo = int(path / 343.0 * RATE)
    assert response[echo : echo + 2].sum() == pytest.approx(0.5 / path, rel=1e-6)


def test_walls_that_swallow_everything_leave_the_direct_sound() -> None:
    response = augment_room.image_response(np.array([5.0, 4, 3]), np.array([1.0, 1, 1]), np.array([2.0, 1, 1]), 0.0, 0.05)
    assert response.sum() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("rt60_s", [0.25, 0.5, 0.9])
def test_reverberation_takes_as_long_as_asked(rt60_s: float) -> None:
    measured = []
    for seed in range(6):
        energy = augment_room.room_response(rng(seed), rt60_s) ** 2
        decay = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum() + 1e-12)  # Schroeder's integral
        five, twentyfive = (np.argmax(decay < level) for level in (-5, -25))
        measured.append(3 * (twentyfive - five) / RATE)
    assert np.median(measured) == pytest.approx(rt60_s, rel=0.4)


# -- devices, codecs ---------------------------------------------------------------------------------------------------


def test_a_telephone_passes_its_band_only() -> None:
    noise = rng(1).standard_normal(2 * RATE).astype(np.float32) * 0.05
    y = augment_device.telephone(noise, rng(2), snr_db=60)
    inside = level_db(y, 500, 3000) - 10 * np.log10(2500)
    assert level_db(y, 50, 150) - 10 * np.log10(100) < inside - 20
    assert level_db(y, 4200, 7500) - 10 * np.log10(3300) < inside - 25


def test_companding_is_undone() -> None:
    x = np.linspace(-1, 1, 101)
    assert np.allclose(augment_device.expanded(augment_device.companded(x)), x)


def test_a_small_loudspeaker_has_less_bass_and_more_distortion() -> None:
    def harmonics(size: float) -> float:
        made = [augment_device.loudspeaker(tone(1500), rng(s), size=size) for s in range(5)]
        return float(np.mean([level_db(y, 4400, 4600) - level_db(y, 1400, 1600) for y in made]))

    noise = rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    bass = [np.mean([level_db(augment_device.loudspeaker(noise, rng(s), size=v), 60, 200) for s in range(5)])
            for v in (0.0, 1.0)]
    assert bass[0] < bass[1] - 10 and harmonics(0.0) > harmonics(1.0)


@pytest.mark.parametrize("name", augment_codec.ENCODERS)
def test_each_codec_is_there_or_said_not_to_be_and_stays_in_place(name: str) -> None:
    for rate in augment_codec.available().get(name, ()):
        y = augment_codec.through(X, name, rate)
        assert len(y) == len(X) and abs(np.corrcoef(X, y)[0, 1]) > 0.4
        if name in augment_codec.NARROW:
            assert level_db(y, 4300, 8000) < level_db(y, 300, 3400) - 20


def test_the_codecs_of_the_telephone_and_the_net_are_at_hand() -> None:
    wanted = {"opus", "mp3", "aac", "vorbis", "amr-nb", "g711-mu", "g711-a", "g722", "gsm"}
    assert wanted <= set(augment_codec.available())
    with pytest.raises(ValueError, match="no codec"):
        augment_codec.through(X, "amr-wb")


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_packets_are_lost_as_often_as_asked_and_in_bursts(share: float) -> None:
    x = np.ones(320 * 20_000, np.float32)
    lost = (augment_time.bursty_loss(x, rng(), share=share, burst=2.5) != 1).reshape(-1, 320)[:, 0]
    assert lost.mean() == pytest.approx(share, rel=0.2)
    starts = np.sum(np.diff(lost.astype(int)) == 1)
    assert lost.sum() / starts == pytest.approx(2.5, rel=0.2)


def test_a_pause_is_as_long_as_asked_and_cuts_nothing() -> None:
    y = augment_time.insert_silence(X, rng(4), seconds=0.25)
    assert len(y) == len(X) + 4000
    place = int(np.argmax(y[: len(X)] != X))
    assert np.array_equal(y[:place], X[:place]) and np.array_equal(y[-(len(X) - place) :], X[place:])


def test_speed_moves_length_and_pitch_alike() -> None:
    y = augment_time.change_speed(tone(1000), rng(), factor=1.25)
    assert len(y) == pytest.approx(RATE / 1.25, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(y))) * RATE / len(y) == pytest.approx(1250, abs=5)


def test_trimming_takes_silence_only() -> None:
    silence = np.zeros(8000, np.float32)
    y = augment_time.trim(np.concatenate([silence, X, silence]), rng(1))
    assert 0.7 * len(X) < len(y) < len(X) + 4000


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_fitting_gives_the_length_from_what_there_is(have: int, want: int) -> None:
    y = np.arange(1, have + 1, dtype=np.float32)
    fitted = augment_time.fitted(y, want, rng())
    assert len(fitted) == want and set(fitted) <= set(y)


def test_levels_are_exact() -> None:
    for level in (-14, -30, -45):
        assert 20 * np.log10(rms(DEGRADATIONS["level"](X * 0.1, rng(), level))) == pytest.approx(level, abs=0.6)
    assert np.mean(np.abs(DEGRADATIONS["clipping"](X, rng(), 0.1)) >= np.quantile(np.abs(X), 0.9)) >= 0.09
    low = DEGRADATIONS["low-pass"](X, rng(), 3000)
    assert level_db(low, 4500, 8000) < level_db(X, 4500, 8000) - 20
