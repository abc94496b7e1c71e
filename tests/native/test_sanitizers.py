"""The native kernels under the address, undefined-behaviour and thread sanitizers, fuzzed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src/striate/kernels/native"
WIDEST = ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
FAMILIES = sorted(HERE.glob("fuzz_*.cpp"))
FLAGS = {"generic": [], "avx2": WIDEST[:2], "avx512": WIDEST}


def build(folder: Path, family: Path, isa: str, sanitizers: str) -> Path:
    """The fuzz driver of a family, or a skip that says what this machine lacks."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    target = folder / "fuzz"
    named = family.read_text("utf-8").splitlines()[0].removeprefix("// sources:").split()
    names = {*named, "parallel.cpp"}
    sources = [HERE / "main.cpp", family, *(NATIVE / name for name in sorted(names))]
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
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run(
        [str(driver), str(rounds), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout


def runs_here(isa: str) -> bool:
    if isa == "generic":
        return True
    flags = Path("/proc/cpuinfo")
    known = flags.read_text("utf-8") if flags.exists() else ""
    return {"avx2": " avx2 ", "avx512": " avx512vl "}[isa] in known


def best() -> str:
    return next(isa for isa in reversed(FLAGS) if runs_here(isa))


@pytest.mark.parametrize(
    "family",
    [
        family if "linear" in family.stem else pytest.param(family, marks=pytest.mark.slow)
        for family in FAMILIES
    ],
    ids=lambda path: path.stem,
)
def test_no_undefined_behaviour_and_right_numbers(tmp_path, family):
    run(build(tmp_path, family, best(), "address,undefined"), rounds=12, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("isa", FLAGS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.stem)
def test_many_shapes(tmp_path, family, isa):
    if not runs_here(isa):
        pytest.skip(f"this processor does not run {isa}")
    driver = build(tmp_path, family, isa, "address,undefined")
    for seed in (2, 3):
        run(driver, rounds=150, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.stem)
def test_no_data_races(tmp_path, family):
    run(build(tmp_path, family, "generic", "thread"), rounds=10, seed=4)
