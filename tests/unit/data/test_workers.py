"""Worker processes that are killed lose nothing and stop nobody."""

import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from striate.data.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")

SIZE = 30_000_000


def killed_while_it_sends(task):
    """Bytes that take longer to hand over than the worker has left to live."""
    number, parent = task
    if os.getpid() != parent and number % 3 == 0:
        pid = os.getpid()
        threading.Timer(0.002 * (number % 7), lambda: os.kill(pid, signal.SIGKILL)).start()
    return bytes([number]) * SIZE


def test_a_worker_that_is_killed_while_it_sends_stops_nobody():
    for _ in range(5):
        workers = Workers(2, killed_while_it_sends, 1)
        try:
            results = [workers.submit((number, os.getpid())) for number in range(9)]
            for number, result in enumerate(results):
                assert result.result(timeout=60) == bytes([number]) * SIZE
        finally:
            workers.shutdown()
    assert not multiprocessing.active_children()


def slow(task):
    time.sleep(0.2)
    if task == 3:
        raise ValueError("the third")
    return os.getpid()


def test_both_work_and_what_fails_fails_here():
    workers = Workers(2, slow, 1)
    try:
        results = [workers.submit(task) for task in range(6)]
        assert len({results[i].result() for i in (0, 1, 2)} - {os.getpid()}) == 2
        with pytest.raises(ValueError, match="the third"):
            results[3].result()
        assert results[5].result() > 0
    finally:
        workers.shutdown()


def test_none_is_left_where_the_system_allows_no_more(monkeypatch):
    context = multiprocessing.get_context("fork")
    start, started = context.Process.start, []

    def second_fails(process):
        if started:
            raise OSError(11, "no more")
        started.append(process)
        start(process)

    monkeypatch.setattr(context.Process, "start", second_fails)
    with pytest.raises(OSError, match="no more"):
        Workers(2, slow, 1)
    assert not started[0].is_alive()
