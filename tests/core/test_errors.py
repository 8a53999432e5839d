"""Errors carry one sentence for the user and survive being sent between processes."""

from __future__ import annotations

import pickle

import pytest

from core.errors import Cancelled, EarwitnessError, InvalidOption, ModelUnavailable, UnreadableAudio

KINDS = [UnreadableAudio, ModelUnavailable, InvalidOption, Cancelled]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_an_earwitness_error_with_its_sentence(kind):
    error = kind("The file is empty; choose another.")
    assert isinstance(error, EarwitnessError)
    assert error.message == str(error) == "The file is empty; choose another."
    assert error.code and error.code != "error"


@pytest.mark.parametrize("kind", KINDS)
def test_code_and_message_survive_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("One sentence.", code="special")))
    assert type(error) is kind
    assert (error.message, error.code) == ("One sentence.", "special")


def test_a_given_code_belongs_to_the_instance_only():
    UnreadableAudio("x", code="empty")
    assert UnreadableAudio("y").code == "unreadable"


def test_cancelled_has_words_of_its_own():
    assert Cancelled().message.endswith(".")
