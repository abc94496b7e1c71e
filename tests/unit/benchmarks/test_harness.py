"""The arithmetic, the order, the memory and the failures of the benchmarks' harness."""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import campaign, environment, isa
from benchmarks.harness.campaign import Options, chosen
from benchmarks.harness.process import FailureError, clean_environment, finished, measured
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.statistic import geometric_mean, shown, summary
from benchmarks.harness.store import OtherMachineError, Store, load
from benchmarks.parts.search import best_setting, toggles


def test_summary_agrees_with_numpy():
    values = np.random.default_rng(3).lognormal(size=11)
    found = summary(values.tolist())
    expected = np.percentile(values, [50, 25, 75, 0, 100])
    got = [found.median, found.q1, found.q3, found.low, found.high]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert found.n == 11


def test_geometric_mean_agrees_with_the_standard_library_and_refuses_zero():
    ratios = [0.3, 2.9, 1.7]
    assert geometric_mean(ratios) == pytest.approx(statistics.geometric_mean(ratios), rel=1e-12)
    assert geometric_mean(ratios) != pytest.approx(statistics.mean(ratios), rel=0.05)
    with pytest.raises(ValueError, match="positive ratios"):
        geometric_mean([1.0, 0.0])


@pytest.mark.parametrize(
    ("value", "words"), [(1234.5, "1,234"), (0.01234, "0.0123"), (98.76, "98.8"), (0.0, "0")]
)
def test_three_digits_count(value, words):
    assert shown(value) == words


def test_rounds_are_interleaved_and_every_second_one_runs_backwards():
    jobs = list(interleaved(["x", "y"], ["a", "b", "c"], 3))
    assert [job.peer for job in jobs[:9]] == ["a", "b", "c", "c", "b", "a", "a", "b", "c"]
    assert {job.case for job in jobs[:9]} == {"x"}
    assert len(set(jobs)) == 18


def run(store, jobs, measure, **options):
    words = {"needs": lambda _: None, "shown": lambda _: "", **options}
    return campaign.run(store, jobs, measure, **words)


def test_a_benchmark_goes_on_where_it_was_stopped(tmp_path):
    jobs = list(interleaved(["x"], ["a", "b"], 2))
    made = []

    def first(job):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(job)
        return {"value": len(made)}

    with pytest.raises(KeyboardInterrupt):
        run(Store(tmp_path, "part"), jobs, first)
    assert run(Store(tmp_path, "part"), jobs, lambda job: made.append(job) or {})
    assert made == jobs
    assert len(load(tmp_path / "part.json")["records"]) == 4


def test_a_failing_peer_is_noted_and_the_others_go_on(tmp_path):
    def measure(job):
        if job.peer == "bad":
            raise FailureError("no luck")
        return {"ok": True}

    store = Store(tmp_path, "part")
    assert run(store, interleaved(["x", "y"], ["bad", "good"], 2), measure)
    failed = [record for record in store.records if "error" in record]
    assert [(record["case"], record["error"]) for record in failed] == [
        ("x", "no luck"),
        ("y", "no luck"),
    ]
    assert sum("value" in record for record in store.records) == 4
    # A failure is tried again at the next start.
    assert run(Store(tmp_path, "part"), [Job("x", "bad", 0)], lambda _: {"ok": True})
    assert Store(tmp_path, "part").has(Job("x", "bad", 0))


def test_a_peer_that_does_not_install_is_absent_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "PEERS", tmp_path)
    store = Store(tmp_path, "part")
    jobs = interleaved(["x"], ["missing", "here"], 1)
    needs = {"missing": "no-such-peer", "here": None}
    assert run(store, jobs, lambda _: {}, needs=needs.__getitem__)
    assert "no-such-peer.txt is missing" in load(store.path)["absent"]["missing"]
    assert [record["peer"] for record in store.records] == ["here"]


def test_no_measurement_begins_after_its_time(tmp_path):
    store = Store(tmp_path, "part")
    slow = lambda _: time.sleep(0.02) or {}  # noqa: E731
    assert not run(store, interleaved(["x"], ["a"], 3), slow, minutes=0.01 / 60)
    assert len(store.records) == 1


def test_figures_of_two_machines_or_settings_never_share_a_file(tmp_path):
    store = Store(tmp_path, "part", settings={"seconds": 4})
    store.add(Job("x", "a", 0), value={"speed": 1.0})
    with pytest.raises(OtherMachineError, match="other settings"):
        Store(tmp_path, "part", settings={"seconds": 5})
    content = load(store.path)
    content["machine"]["id"] = "elsewhere"
    store.path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(OtherMachineError, match="another machine"):
        Store(tmp_path, "part", settings={"seconds": 4})
    assert Store(tmp_path, "part", settings={"seconds": 4}, isa="avx2").records == []
    assert Store(tmp_path, "part", settings={"seconds": 4}, fresh=True).records == []
    assert load(tmp_path / "part.before.json")["records"][0]["value"] == {"speed": 1.0}


def test_quick_figures_and_full_ones_never_share_a_file(tmp_path):
    Options(tmp_path, quick=True).store("part").add(Job("x", "a", 0), value={})
    with pytest.raises(OtherMachineError, match="other settings"):
        Options(tmp_path).store("part")


def test_a_worker_is_ended_with_its_children_when_its_time_is_up(tmp_path):
    mark = tmp_path / "alive"
    child = f"import time; time.sleep(2); open({str(mark)!r}, 'w')"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    with pytest.raises(FailureError, match="not done within"):
        finished([sys.executable, "-c", parent], environment=clean_environment({}), limit=0.5)
    assert time.monotonic() - began < 1.9
    time.sleep(2)
    assert not mark.exists()


def test_the_last_json_line_is_the_answer_and_an_error_says_why():
    given = clean_environment({})
    noise = "print('{\"old\": 1}'); print('words'); print('{\"speed\": 2}')"
    found = measured([sys.executable, "-c", noise], environment=given, limit=30)
    assert found["speed"] == 2
    assert found["wall_seconds"] > 0
    with pytest.raises(FailureError, match="no figures"):
        measured([sys.executable, "-c", "print('hello')"], environment=given, limit=30)
    script = "import sys; sys.stderr.write('why it failed'); sys.exit(3)"
    with pytest.raises(FailureError, match="exit code 3: why it failed"):
        finished([sys.executable, "-c", script], environment=given, limit=30)


def test_a_peer_inherits_nothing_that_steers_it(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    given = clean_environment({"KERAS_BACKEND": "jax"})
    assert "OMP_WAIT_POLICY" not in given
    assert "PYTHONPATH" not in given
    assert given["KERAS_BACKEND"] == "jax"
    assert clean_environment({}, keep_path=True)["PYTHONPATH"] == "somewhere"
    assert isa.variables(None) == {}
    assert isa.variables("avx2")["STRIATE_ISA"] == "avx2"


def test_the_search_keeps_what_gains_and_drops_what_does_not():
    gains = {"OMP_WAIT_POLICY": {"PASSIVE": 0.5, "ACTIVE": 1.3}, "threads": {1: 1.005}}

    def speed(setting):
        if setting["asked"].get("layout") == "nchw":
            raise FailureError("no")
        pairs = [*setting["variables"].items(), *setting["asked"].items()]
        return 100 * float(np.prod([gains.get(key, {}).get(value, 1.0) for key, value in pairs]))

    found = best_setting(speed, toggles("torch-tuned", little_work=True))
    assert found["variables"] == {"OMP_WAIT_POLICY": "ACTIVE"}
    assert found["asked"] == {}
    assert any("error" in entry for entry in found["tried"])


def test_an_unknown_name_is_told_with_the_known_ones():
    assert chosen(("b", "a"), ["a", "b", "c"], "peer") == ["a", "b"]
    with pytest.raises(SystemExit, match=r"No such peer: d. There are: a, b"):
        chosen(("d",), ["a", "b"], "peer")


def test_every_peer_has_exact_pins():
    for name in environment.names():
        for line in (environment.PEERS / f"{name}.txt").read_text().split():
            assert line.count("==") == 1, f"{name}: {line}"
    assert Path(environment.PEERS).name == "peers"


def test_quick_runs_and_limited_ones_measure_into_caches_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "_caches", {"name": "cache"})
    folders = {environment.cache(), environment.cache("avx2")}
    environment.begin_cache(quick=True, fresh=False)
    folders |= {environment.cache(), environment.cache("avx2")}
    assert len(folders) == 4
    for folder in folders:
        folder.mkdir(parents=True)
    environment.begin_cache(quick=False, fresh=True)
    assert sorted(path.name for path in environment.place().iterdir()) == [
        "quick-cache",
        "quick-cache-avx2",
    ]
