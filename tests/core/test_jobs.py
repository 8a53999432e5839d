"""Laws of the job registry: one run per key, cancel, failure, survival and bounded memory."""

from __future__ import annotations

import threading
import time

import pytest

from core.errors import EarwitnessError
from core.jobs import CANCELLED, DONE, FAILED, Jobs


def _stepping(job):
    for step in range(1000):
        job.report(step / 1000, f"step {step}")
        time.sleep(0.002)
    return "finished"


def test_same_key_runs_once_whoever_asks():
    jobs, runs = Jobs(), []
    gate = threading.Event()

    def work(job):
        runs.append(1)
        gate.wait(5)
        return "answer"

    asked = []
    threads = [threading.Thread(target=lambda: asked.append(jobs.submit("k", work))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.set()
    assert all(job is asked[0] for job in asked)
    assert asked[0].wait(5) and asked[0].result == "answer"
    assert jobs.submit("k", work) is asked[0], "a finished job is found again, not run again"
    assert runs == [1]


def test_different_keys_give_different_jobs():
    jobs = Jobs()
    a, b = jobs.submit("a", lambda job: 1), jobs.submit("b", lambda job: 2)
    assert a.wait(5) and b.wait(5)
    assert (a.result, b.result) == (1, 2)


def test_cancel_stops_a_running_job_soon_and_a_new_submit_runs_anew():
    jobs = Jobs()
    job = jobs.submit("k", _stepping)
    while job.fraction == 0.0:
        time.sleep(0.002)
    job.cancel()
    assert job.wait(1.0)
    assert job.state == CANCELLED and job.result is None and "Cancelled" in job.reason
    again = jobs.submit("k", lambda job: "second run")
    assert again is not job and again.wait(5) and again.result == "second run"


def test_cancel_of_a_waiting_job_never_runs_it():
    jobs, ran = Jobs(lanes={"heavy": 1}), []
    gate = threading.Event()
    first = jobs.submit("first", lambda job: gate.wait(5))
    second = jobs.submit("second", lambda job: ran.append(1))
    second.cancel()
    assert second.state == CANCELLED and second.ended
    gate.set()
    assert first.wait(5)
    time.sleep(0.05)
    assert ran == [] and second.state == CANCELLED


def test_a_submit_right_after_cancel_does_not_hand_back_the_dying_job():
    jobs = Jobs(lanes={"heavy": 2})
    dying = jobs.submit("k", _stepping)
    while dying.fraction == 0.0:
        time.sleep(0.002)
    dying.cancel()
    fresh = jobs.submit("k", lambda job: "fresh")
    assert fresh is not dying and fresh.wait(5) and fresh.result == "fresh"


def test_cancelling_a_finished_job_keeps_its_result():
    jobs = Jobs()
    job = jobs.submit("k", lambda job: 5)
    assert job.wait(5)
    job.cancel()
    assert job.state == DONE and job.result == 5


def test_failures_become_one_sentence():
    jobs = Jobs()

    def planned(job):
        raise EarwitnessError("The file is empty; choose another one.")

    def unplanned(job):
        raise ValueError("secret/path/and array dump")

    a, b = jobs.submit("a", planned), jobs.submit("b", unplanned)
    assert a.wait(5) and b.wait(5)
    assert a.state == FAILED and a.reason == "The file is empty; choose another one."
    assert b.state == FAILED and "secret" not in b.reason and "ValueError" in b.reason
    assert jobs.submit("a", lambda job: 1) is not a, "a failed job may be tried again"


def test_quick_work_does_not_queue_behind_heavy_work():
    jobs, gate = Jobs(), threading.Event()
    heavy = jobs.submit("heavy", lambda job: gate.wait(5))
    quick = jobs.submit("quick", lambda job: "read", lane="quick")
    assert quick.wait(2) and not heavy.ended
    gate.set()
    assert heavy.wait(5)


def test_heavy_work_runs_one_at_a_time():
    jobs, at_once, most = Jobs(), [], []
    lock = threading.Lock()

    def work(job):
        with lock:
            at_once.append(1)
            most.append(len(at_once))
        time.sleep(0.01)
        with lock:
            at_once.pop()

    made = [jobs.submit(n, work) for n in range(6)]
    assert all(job.wait(5) for job in made)
    assert max(most) == 1


def test_progress_never_goes_back_and_stays_within_bounds():
    jobs, seen = Jobs(), []

    def work(job):
        for fraction in (0.5, 0.2, 7.0, -1.0):
            job.report(fraction)
            seen.append(job.fraction)

    assert jobs.submit("k", work).wait(5)
    assert seen == sorted(seen) and max(seen) == 1.0 and min(seen) >= 0.0


def test_only_the_newest_results_are_kept_and_use_counts():
    jobs = Jobs(kept=3)
    for n in range(3):
        assert jobs.submit(n, lambda job, n=n: n).wait(5)
    assert jobs.find(0).result == 0  # used: now the newest
    for n in (3, 4):
        assert jobs.submit(n, lambda job, n=n: n).wait(5)
    assert jobs.find(1) is None and jobs.find(0) is not None


def test_results_are_bounded_in_bytes_too():
    jobs = Jobs(kept=100, kept_bytes=250)
    for n in range(4):
        assert jobs.submit(n, lambda job: "x" * 100, weigh=len).wait(5)
        time.sleep(0.01)
    assert jobs.find(0) is None and jobs.find(1) is None
    assert jobs.find(2) is not None and jobs.find(3) is not None
    assert jobs.submit("huge", lambda job: "x" * 10_000, weigh=len).wait(5)
    time.sleep(0.02)
    assert jobs.find("huge").result is not None, "the newest stays, however large"
    assert jobs.find(3) is None


def test_the_closure_is_let_go_when_the_job_ends():
    import gc
    import weakref

    class Bytes:
        pass

    held = Bytes()
    ghost = weakref.ref(held)
    job = Jobs().submit("k", lambda job, held=held: 1)
    assert job.wait(5)
    del held
    time.sleep(0.02)
    gc.collect()
    assert ghost() is None


def test_unknown_lane_is_refused():
    with pytest.raises(KeyError):
        Jobs().submit("k", lambda job: 1, lane="nowhere")
