"""A pytest plugin: names the running test to coverage.py and notes how long each one took."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests that an interrupted run has recorded."""
    known = Path(os.environ["MUTATION_SECONDS"])
    lines = [line for part in known.parent.glob("seconds.*") for line in part.open()]
    recorded = {json.loads(line)[0] for line in lines}
    items[:] = [item for item in items if item.nodeid not in recorded]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Processes that the test starts find its name in their environment."""
    os.environ["MUTATION_TEST"] = item.nodeid
    measuring = Coverage.current()
    if measuring is not None:
        measuring.switch_context(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """A line for each test that passed."""
    report = yield
    if report.when == "call" and report.passed:
        with open(f"{os.environ['MUTATION_SECONDS']}.{os.getpid()}", "a", encoding="utf-8") as file:
            file.write(json.dumps([item.nodeid, report.duration]) + "\n")
    return report


def pytest_sessionfinish() -> None:
    measuring = Coverage.current()
    if measuring is not None:
        measuring.stop()
        measuring.save()
