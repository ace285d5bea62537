"""`zoo_serve.jobs`: the queue before a model, without HTTP."""

from __future__ import annotations

import threading
import time

import pytest

from zoo_serve.jobs import Batcher, Job
from zoo_serve.refusals import RequestError

from ..refusals import refused

WAIT = 30


class Done:
    """Notes the batches, and waits before the first one until it is opened."""

    def __init__(self) -> None:
        self.batches: list[list[Job]] = []
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, jobs):
        self.entered.set()
        assert self.opened.wait(WAIT)
        self.batches.append(jobs)
        for job in jobs:
            job.future.set_result(job.kind)


@pytest.fixture
def done():
    return Done()


@pytest.fixture
def batcher(done):
    batcher = Batcher(done, lambda _: 3)
    yield batcher
    done.opened.set()
    batcher.close()


def job(kind="a", seconds=WAIT):
    made = Job(time.monotonic() + seconds, seconds)
    made.kind = kind
    return made


def begun(batcher, done) -> Job:
    """A job that runs now."""
    first = job("first")
    batcher.put(first)
    assert done.entered.wait(WAIT)
    return first


def test_jobs_of_one_kind_share_a_run_and_the_oldest_comes_first(batcher, done):
    first = begun(batcher, done)
    jobs = [job(kind) for kind in "abaabab"]
    for each in jobs:
        batcher.put(each)
    done.opened.set()
    assert [each.future.result(WAIT) for each in jobs] == list("abaabab")
    a, b = ([each for each in jobs if each.kind == kind] for kind in "ab")
    assert done.batches == [[first], a[:3], b, a[3:]]


def test_a_job_past_its_deadline_fails_and_is_not_done(batcher, done):
    first = begun(batcher, done)
    late, next_ = job(seconds=-1), job()
    batcher.put(late)
    batcher.put(next_)
    done.opened.set()
    with refused("deadline", kind=RequestError):
        late.future.result(WAIT)
    assert next_.future.result(WAIT) == "a"
    assert done.batches == [[first], [next_]]


def test_a_cancelled_job_is_not_done(batcher, done):
    first = begun(batcher, done)
    left, next_ = job(), job()
    batcher.put(left)
    batcher.put(next_)
    assert left.future.cancel()
    done.opened.set()
    next_.future.result(WAIT)
    assert done.batches == [[first], [next_]]


def test_an_urgent_job_comes_before_those_that_wait(batcher, done):
    first = begun(batcher, done)
    waiting, urgent = job("a"), job("b")
    batcher.put(waiting)
    batcher.put(urgent, first=True)
    done.opened.set()
    waiting.future.result(WAIT)
    assert done.batches == [[first], [urgent], [waiting]]


def test_an_error_is_that_of_all_its_jobs_and_the_next_are_done():
    def failing(jobs):
        if jobs[0].kind == "bad":
            raise ZeroDivisionError
        jobs[0].future.set_result("good")

    batcher = Batcher(failing)
    bad, good = job("bad"), job("good")
    batcher.put(bad)
    batcher.put(good)
    assert isinstance(bad.future.exception(WAIT), ZeroDivisionError)
    assert good.future.result(WAIT) == "good"
    batcher.close()


def test_the_expected_time_grows_with_a_run_that_is_long(batcher, done):
    before = batcher.expected_seconds
    begun(batcher, done)
    time.sleep(0.15)
    assert batcher.running_seconds >= 0.15
    assert batcher.expected_seconds > before


def test_the_expected_time_is_a_share_of_a_run_of_several(batcher, done):
    first = begun(batcher, done)
    jobs = [job() for _ in range(3)]
    for each in jobs:
        batcher.put(each)
    entered = threading.Event()

    def long_run(batch):
        entered.set()
        time.sleep(0.6)
        for each in batch:
            each.future.set_result(None)

    batcher._run = long_run
    done.opened.set()
    first.future.result(WAIT)
    assert entered.wait(WAIT)
    time.sleep(0.45)
    assert 0.15 <= batcher.expected_seconds < 0.3


def test_a_job_that_comes_after_the_end_fails_at_once(batcher, done):
    done.opened.set()
    batcher.close()
    late = job()
    batcher.put(late)
    with refused("draining", kind=RequestError):
        late.future.result(1)
