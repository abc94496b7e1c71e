"""The page and its verdicts follow from the results."""

import re

import pytest

from benchmarks.harness import page as pages
from benchmarks.harness.round import Job
from benchmarks.harness.statistic import summary
from benchmarks.harness.store import Store, load
from benchmarks.harness.verdict import best_tuned, error_verdict, throughput_verdict


def throughput(folder, ours):
    """Eager 10, tuned 20, compiled 25 images a second; ours by network."""
    store = Store(folder, "throughput", settings={"quick": False})
    store.add(Job("sgemm", "torch", 0), value={"flops_per_second": 2e11})
    for case, speeds in ours.items():
        for repeat, speed in enumerate(speeds):
            store.add(Job(case, "striate", repeat), value={"images_per_second": speed})
        fixed = {"torch": 10, "torch-tuned": 20, "torch-compile": 25, "torch-bf16": 1000}
        for peer, speed in fixed.items():
            store.add(Job(case, peer, 0), value={"images_per_second": speed})
    return store.content


def test_verdict_takes_medians_3x3_networks_and_the_best_tuned_float32(tmp_path):
    content = throughput(tmp_path, {"lenet": [24], "vgg": [90, 40, 10], "resnet20": [90]})
    lines = throughput_verdict(content)
    assert lines[0].startswith("Striate trains 6.00 times as fast as PyTorch eager")  # √(4·9)
    assert lines[1].startswith("Striate trains 2.40 times as fast as the best-tuned")
    assert "over 2 network(s)" in lines[0]
    assert lines[2] == "Slower than the best-tuned PyTorch on: LeNet-5 (0.96 times torch-compile)."


def test_best_tuned_leaves_out_other_precisions():
    row = {"torch-tuned": summary([3.0]), "torch-bf16": summary([9.0]), "torch": summary([8.0])}
    assert best_tuned(row) == ("torch-tuned", 3.0)
    assert best_tuned({"torch": summary([8.0])}) is None


def errors(folder):
    store = Store(folder, "error", settings={"data": "set.tar", "images": None, "quick": False})
    for peer, error, seconds in (
        ("striate", 0.25, 63.0),
        ("resnet20", 0.5, 60.0),
        ("keras", 0.6, 60.1),
        ("airbench", 0.3, 59.0),
    ):
        store.add(Job("60", peer, 0), value={"test_error": error, "seconds": seconds, "n": 10_000})
    return store.content


def test_error_verdict_compares_with_the_best_ordinary_recipe_and_tells_the_time(tmp_path):
    (line,) = error_verdict(errors(tmp_path))
    assert line == (
        "60 s, cold: 25.00% error, +5.0% of the time; best ordinary recipe 50.00% (resnet20): "
        "50% less error; airbench's recipe 30.00%: 17% less error."
    )


def test_cold_is_compared_with_cold_where_that_was_measured(tmp_path):
    errors(tmp_path)
    store = Store(tmp_path, "error", settings={"quick": False, "data": "set.tar", "images": None})
    for peer, error in (("striate-warm", 0.2), ("tutorial", 0.4), ("tutorial-cold", 0.45)):
        store.add(Job("60", peer, 0), value={"test_error": error, "seconds": 60.0})
    warm, cold = error_verdict(store.content)
    assert "best ordinary recipe 40.00% (tutorial): 50% less error" in warm
    assert "best ordinary recipe 45.00% (tutorial): 44% less error" in cold


@pytest.fixture
def results(tmp_path):
    throughput(tmp_path, {"lenet": [24], "vgg": [40, 40, 44]})
    errors(tmp_path)
    store = Store(tmp_path, "inference", settings={"batches": [1, 256], "quick": False})
    batches = {"1": {"step_seconds": 0.002}, "256": {"step_seconds": 0.25}}
    store.add(Job("vgg", "torch", 0), value={"batches": batches, "versions": {"torch": "2.13"}})
    store.content["absent"]["openvino"] = "does not install: no | luck"
    store.add(Job("vgg", "onnxruntime", 0), error="boom")
    store = Store(tmp_path, "startup", settings={"quick": True})
    store.add(Job("seconds", "help", 0), value={"seconds": 0.31}, others=0.5)
    store = Store(tmp_path, "memory", settings={})
    store.add(Job("unet", "striate", 0), value={"peak_bytes": 3 * 2**30})
    return tmp_path


def test_page_holds_every_part_and_its_pictures(results):
    text = pages.page(results, results / "images" / "bench")
    for words in (
        "| Striate | 24.0 | 40.0 (40.0–44.0) |",
        "| PyTorch, ResNet-20 | 50.0, n = 1; 60 s |",
        "| PyTorch | 2.00 |",
        "| PyTorch | 1,024 |",
        "| `striate --help` | 0.310 | 1 |",
        "| Striate | 3,072 |",
        "`openvino` is absent: does not install",
        "`onnxruntime` failed on vgg: boom",
        "its figures mean nothing",
        "Others used 50% of the machine",
        "Not measured yet: `make bench-data`.",
        "torch 2.13",
    ):
        assert words in text
    for picture in re.findall(r"\((images/[^)]+)\)", text):
        assert (results / picture).read_text("utf-8").lstrip().startswith("<?xml")


def test_data_are_told_as_medians_with_their_range(tmp_path):
    store = Store(tmp_path, "data", settings={})
    rates = {"cache": [50.0, 40.0, 90.0], "DataLoader": [2.0, 2.0, 3.0]}
    measured = {
        "batches": {"rates": rates, "ratios": {"DataLoader": [25.0, 20.0, 30.0]}},
        "decoding": {"rates": {"Pillow, 1 thread(s)": [7.0, 8.0, 6.0]}},
    }
    store.add(Job("data", "striate", 0), value={"sets": {"32 × 32": measured}})
    text = pages.page(tmp_path, tmp_path / "images")
    for words in (
        "| 32 × 32 | cache | 50.0 (40.0–90.0) |  |",
        "| 32 × 32 | DataLoader | 2.00 (2.00–3.00) | 25.0 (20.0–30.0) |",
        "| 32 × 32 | Pillow, 1 thread(s) | 7.00 (6.00–8.00) |",
    ):
        assert words in text


def test_share_of_the_peak_counts_a_whole_step(results):
    content = load(results / "throughput.json")
    lines = "\n".join(pages._throughput(content, results / "images", "throughput"))
    # vgg: 40 images/s × 2 × (3 × 38,653,952 − 884,736) operations over 2e11
    assert "| Striate | 0% | 5% |" in lines
    assert "(200 GFLOP/s)" in lines


def test_nothing_measured_gives_a_page_that_says_so(tmp_path):
    text = pages.page(tmp_path, tmp_path / "images")
    assert text.count("Not measured yet") == 6


def test_write_keeps_pages_of_quick_runs_beside_their_results(results, capsys):
    path = pages.write(results, quick=True)
    assert path == results / "benchmarks.md"
    assert "throughput: Striate trains" in capsys.readouterr().out
