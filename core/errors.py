"""The errors a user may meet. Each message is one sentence fit for the screen that says what to do next.

Anything raised on purpose towards a page or the command line is an ``EarwitnessError``. Programming
mistakes keep their own types and are not caught here.
"""

from __future__ import annotations


class EarwitnessError(Exception):
    """Base of all errors meant for the user; ``message`` is one sentence, ``code`` a stable short name."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message

    def __reduce__(self):  # keyword-only arguments would be lost by the default pickling
        return _rebuild, (type(self), self.message, self.code)


def _rebuild(kind: type[EarwitnessError], message: str, code: str) -> EarwitnessError:
    return kind(message, code=code)


class UnreadableAudio(EarwitnessError):
    """The bytes can't be turned into samples that may be examined.

    Codes: ``missing``, ``not-a-file``, ``empty``, ``too-large``, ``too-long``, ``not-audio``,
    ``no-audio-track``, ``damaged``, ``too-short``, ``not-finite``, ``implausible-samples``, ``sample-rate``,
    ``channels``.
    """

    code = "unreadable"


class ModelUnavailable(EarwitnessError):
    """A model or its weights can't be loaded."""

    code = "model-unavailable"


class Cancelled(EarwitnessError):
    """The user cancelled the work."""

    code = "cancelled"

    def __init__(self, message: str = "The work was cancelled; start it again to get a result.", *,
                 code: str | None = None) -> None:
        super().__init__(message, code=code)


class InvalidOption(EarwitnessError):
    """An option or parameter has a value that can't be used."""

    code = "invalid-option"
