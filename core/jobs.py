"""Long work outside the page script: one process-wide set of jobs, found again by what they compute.

A page script is abandoned and restarted whenever a widget is touched, so nothing that takes longer than a
blink may run in it. Work is submitted here under a key that names its content (file digest, weights digest,
parameters); the same key gives the same job, whichever page or session asks, and a finished job keeps its
result until newer results push it out. Nothing here knows about Streamlit or about audio.

>>> job = submit(("square", 7), lambda job: 49)
>>> job.wait(1.0), job.result
(True, 49)
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from core.errors import Cancelled, EarwitnessError

Work = Callable[["Job"], Any]

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
LANES = {
    "quick": 2,
    "heavy": 1,
    "background": 1,
}  # threads at work at once: short ones never queue behind an hour-long examination, nor that behind an audit
KEPT = 32  # finished jobs remembered; the least recently used go first
KEPT_BYTES = 1_500_000_000  # and no more than this much in their results, as weighed by whoever submits


class Job:
    """One piece of work and how far it has come.

    ``state`` is one of waiting, running, done, failed, cancelled; ``fraction`` lies in 0..1; ``message`` says
    what is being done; ``result`` is set when done; ``error`` is set when failed (the exception; its text via
    ``reason``).
    """

    def __init__(self, key: Hashable, work: Work) -> None:
        self.key = key
        self.state = WAITING
        self.fraction = 0.0
        self.message = "waiting for its turn"
        self.result: Any = None
        self.error: Exception | None = None
        self.seconds = 0.0
        self.n_bytes = 0
        self._work = work
        self._cancel = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """True once the job is done, failed or cancelled."""
        return self._ended.is_set()

    @property
    def reason(self) -> str:
        """One sentence fit for the user about why the job did not finish; empty when it did."""
        if isinstance(self.error, EarwitnessError):
            return self.error.message
        if isinstance(self.error, MemoryError):
            return "There was not enough memory for this; close other recordings or programs and try again."
        if self.error is not None:
            kind = type(self.error).__name__
            return f"This step stopped unexpectedly ({kind}); try again, or report it if it recurs."
        return "Cancelled; nothing was changed." if self.state == CANCELLED else ""

    def report(self, fraction: float, message: str = "") -> None:
        """Record progress, called by the work itself; raises ``Cancelled`` when the user asked to stop."""
        self.fraction = max(self.fraction, min(1.0, float(fraction)))
        if message:
            self.message = message
        if self._cancel.is_set():
            raise Cancelled("The work was cancelled.")

    def cancelled(self) -> bool:
        """True once someone asked to stop; work that can't be interrupted by ``report`` polls this."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Ask the job to stop. A waiting job stops at once, a running one at its next report; an ended one is
        kept.
        """
        self._cancel.set()
        with self._lock:
            if self.state == WAITING:
                self._end(CANCELLED)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the job has ended (True) or the time is over (False). For tests and the command
        line.
        """
        return self._ended.wait(timeout_s)

    def _end(self, state: str) -> None:
        self.state = state
        self._work = None  # let go of everything the closure holds (the uploaded bytes, above all)
        self._ended.set()

    def _run(self, weigh: Callable[[Any], int] | None = None) -> None:
        with self._lock:
            if self.state != WAITING:
                return
            self.state, self.message, work = RUNNING, "starting", self._work
        began = time.perf_counter()
        state = FAILED
        try:
            self.result = work(self)
            self.n_bytes = int(weigh(self.result)) if weigh else 0
            self.fraction, state = 1.0, DONE
        except Cancelled:
            state = CANCELLED
        except Exception as error:
            self.error = error
            state = CANCELLED if self._cancel.is_set() else FAILED
        finally:
            self.seconds = time.perf_counter() - began
            with self._lock:
                self._end(state)


class Jobs:
    """A registry of jobs and the threads that run them; the process has one, tests make their own.

    ``kept`` and ``kept_bytes`` bound how many ended jobs (and so results) stay; waiting and running jobs
    never go, nor does the newest.
    """

    def __init__(
        self, lanes: dict[str, int] | None = None, kept: int = KEPT, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._slots = {name: threading.Semaphore(n) for name, n in (lanes or LANES).items()}
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._kept = kept
        self._kept_bytes = kept_bytes

    def submit(
        self, key: Hashable, work: Work, *, lane: str = "heavy", weigh: Callable[[Any], int] | None = None
    ) -> Job:
        """The job for ``key``: the one at hand if it is waiting, running or done, else a new one running
        ``work(job)``.

        A job that failed or was cancelled is run anew. ``weigh`` gives the bytes that a result holds in
        memory. Raises ``KeyError`` for an unknown lane.
        """
        slots = self._slots[lane]
        with self._lock:
            job = self._jobs.get(key)
            if (
                job is not None
                and job.state not in (FAILED, CANCELLED)
                and not (job.cancelled() and not job.ended)
            ):
                self._jobs.move_to_end(key)
                return job
            job = self._jobs[key] = Job(key, work)
            self._jobs.move_to_end(key)
            self._forget_oldest()
        threading.Thread(
            target=self._take_turn, args=(slots, job, weigh), name=f"job-{lane}", daemon=True
        ).start()
        return job

    def find(self, key: Hashable) -> Job | None:
        """The job for ``key`` without starting one; finding it counts as use."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None:
                self._jobs.move_to_end(key)
            return job

    def forget(self, key: Hashable) -> None:
        """Drop an ended job and its result; a running one is left alone."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.ended:
                del self._jobs[key]

    def _take_turn(self, slots: threading.Semaphore, job: Job, weigh: Callable[[Any], int] | None) -> None:
        with slots:
            job._run(weigh)
        with self._lock:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        ended = [(key, job) for key, job in self._jobs.items() if job.ended]
        n_bytes = sum(job.n_bytes for _, job in ended)
        for place, (key, job) in enumerate(ended[:-1]):
            if len(ended) - place <= self._kept and n_bytes <= self._kept_bytes:
                break
            n_bytes -= job.n_bytes
            del self._jobs[key]


_process = Jobs()
submit = _process.submit
find = _process.find
forget = _process.forget
