"""The native kernels under the address, undefined-behaviour and thread sanitizers, fuzzed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src/striate/kernels/native"
WIDEST = ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
FLAGS = {"generic": [], "avx2": WIDEST[:2], "avx512": WIDEST}


def build(folder: Path, isa: str, sanitizers: str) -> Path:
    """The fuzz driver with every kernel in it, or a skip that says what this machine lacks."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    target = folder / "fuzz"
    sources = [*sorted(NATIVE.glob("*.cpp")), *sorted(HERE.glob("*.cpp"))]
    sanitize = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    flags = ["-std=c++17", "-O1", "-g1", "-ffp-contract=fast", "-pthread", *FLAGS[isa], *sanitize]
    objects = []
    jobs = []
    for source in sources:
        objects.append(folder / f"{source.stem}.o")
        command = [*compiler.split(), *flags, f"-I{NATIVE}", "-c", str(source)]
        jobs.append(subprocess.Popen([*command, "-o", str(objects[-1])], stderr=subprocess.PIPE))
    for job in jobs:
        _, complaint = job.communicate()
        assert job.returncode == 0, complaint.decode()
    linked = subprocess.run(
        [*compiler.split(), *flags, *map(str, objects), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if linked.returncode != 0 and "san" in linked.stderr:
        pytest.skip(f"this compiler has no {sanitizers} sanitizer")
    assert linked.returncode == 0, linked.stderr
    return target


def run(driver: Path, rounds: int, seed: int) -> None:
    done = subprocess.run(
        [str(driver), str(rounds), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"},
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "winograd: 0 failures" in done.stdout


def runs_here(isa: str) -> bool:
    if isa == "generic":
        return True
    flags = Path("/proc/cpuinfo")
    known = flags.read_text("utf-8") if flags.exists() else ""
    return {"avx2": " avx2 ", "avx512": " avx512vl "}[isa] in known


@pytest.mark.parametrize(
    "isa",
    [
        pytest.param("generic", marks=pytest.mark.slow),
        pytest.param("avx2", marks=pytest.mark.slow),
        "avx512",
    ],
)
def test_no_undefined_behaviour_and_right_numbers(tmp_path, isa):
    if not runs_here(isa):
        pytest.skip(f"this processor does not run {isa}")
    run(build(tmp_path, isa, "address,undefined"), rounds=12, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_many_shapes(tmp_path, seed):
    best = next(isa for isa in reversed(FLAGS) if runs_here(isa))
    run(build(tmp_path, best, "address,undefined"), rounds=150, seed=seed)


@pytest.mark.slow
def test_no_data_races(tmp_path):
    run(build(tmp_path, "generic", "thread"), rounds=10, seed=4)
