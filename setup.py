"""Builds the native kernels: one library for each instruction set, without linking Python.

Everything else about the package is in pyproject.toml. Where there is no C++ compiler the build
goes on without kernels and the package works on torch alone.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = Path("src/striate/kernels/native")
SOURCES = sorted(map(str, NATIVE.glob("*.cpp")))
SHARED = [*map(str, NATIVE.glob("*.hpp")), "setup.py"]
FLAGS = [
    "-std=c++17",
    "-O3",
    "-ffp-contract=fast",  # a * b + c is one fused operation, also between vector types
    "-fno-math-errno",
    "-fPIC",
    "-fvisibility-inlines-hidden",
    "-fno-semantic-interposition",
    "-pthread",
    "-Wall",
    "-Wextra",
]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
if sys.platform == "darwin":
    EXPORTED = ["-Wl,-exported_symbol,_striate_*"]
else:
    map_file = f"-Wl,--version-script={NATIVE / 'exported.map'}"
    EXPORTED = [map_file, "-Wl,-Bsymbolic", "-Wl,--no-undefined"]


def instruction_sets() -> dict[str, list[str]]:
    """The compiler flags of each library to build here, by instruction set."""
    target = sysconfig.get_platform() + os.environ.get("ARCHFLAGS", "")
    if "universal2" in target and "ARCHFLAGS" not in os.environ:
        target = platform.machine()
    if any(name in target for name in ("x86_64", "amd64", "AMD64")):
        return {"generic": [], "avx2": AVX2, "avx512": AVX512}
    return {"generic": []}


def make(target: Path, sources: Sequence[str | Path], command: list[str]) -> None:
    """Run a command that writes a file, if it is older than its sources; whole or not at all."""
    if target.exists():
        made = target.stat().st_mtime_ns
        if all(Path(source).stat().st_mtime_ns < made for source in sources):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    done = subprocess.run([*command, "-o", str(part)], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise CompileError(done.stderr)
    print(done.stderr, end="", file=sys.stderr, flush=True)
    part.replace(target)


class BuildKernels(build_ext):
    """Compiles in parallel, and only what is older than its sources."""

    def get_ext_filename(self, fullname: str) -> str:
        """The file name that kernels/library.py looks for, without Python's version."""
        return f"{fullname.replace('.', os.sep)}.so"

    def copy_extensions_to_source(self) -> None:
        """Put the libraries beside the sources, for a source tree and an editable install."""
        Path("src/striate/kernels/_native").mkdir(exist_ok=True)
        super().copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        """Compile and link the library of one instruction set."""
        known = filter(shutil.which, ("c++", "g++", "clang++"))
        compiler = (os.environ.get("CXX") or next(known, "")).split()
        if not compiler or shutil.which(compiler[0]) is None:
            raise CompileError("No C++ compiler was found (CXX, c++, g++, clang++).")

        def compiled(source: str) -> str:
            target = Path(self.build_temp, ext.name, f"{Path(source).stem}.o")
            command = [*compiler, *FLAGS, *ext.extra_compile_args, "-c", source]
            make(target, [source, *SHARED], command)
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as workers:
            objects = list(workers.map(compiled, ext.sources))
        link = [*compiler, "-shared", "-pthread", *EXPORTED, *objects, "-lm"]
        make(Path(self.get_ext_fullpath(ext.name)), objects, link)


class PlatformWheel(bdist_wheel):
    """Any Python 3 can load the libraries: only the platform is in the wheel's tag."""

    def get_tag(self) -> tuple[str, str, str]:
        """py3-none-<platform>, or py3-none-any where no kernels were built."""
        built = any(map(os.path.exists, self.get_finalized_command("build_ext").get_outputs()))
        return ("py3", "none", super().get_tag()[2] if built else "any")


setup(
    ext_modules=[
        Extension(
            f"striate.kernels._native.striate_kernels_{name}",
            SOURCES,
            extra_compile_args=flags,
            optional=True,
        )
        for name, flags in instruction_sets().items()
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
)
