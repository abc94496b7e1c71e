"""Builds the native kernels: every source once for each instruction set, without linking Python.

Everything else about the package is in pyproject.toml. Where there is no C++ compiler the build
goes on without kernels and the package works on torch alone.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = Path("src/striate/kernels/native")
INSTALLED = Path("striate/kernels/_native")
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


def instruction_sets() -> dict[str, list[str]]:
    """The libraries to build here, by name, with the compiler flags of each."""
    target = sysconfig.get_platform() + os.environ.get("ARCHFLAGS", "")
    if "universal2" in target and "ARCHFLAGS" not in os.environ:
        target = platform.machine()
    if any(name in target for name in ("x86_64", "amd64", "AMD64")):
        return {"generic": [], "avx2": AVX2, "avx512": AVX512}
    return {"generic": []}


def newer(target: Path, sources: list[Path]) -> bool:
    """Whether the target exists and no source is younger."""
    if not target.exists():
        return False
    made = target.stat().st_mtime_ns
    return all(source.exists() and source.stat().st_mtime_ns < made for source in sources)


def read_dependencies(file: Path) -> list[Path]:
    """The files that a compiler's .d file names, or none that exist where there is no such file."""
    if not file.exists():
        return [file]
    text = file.read_text("utf-8").replace("\\\n", " ")
    return [Path(name) for name in text.partition(":")[2].split() if not name.startswith("/usr")]


class BuildKernels(build_ext):
    """Compiles in parallel, and only what is older than its sources."""

    def run(self) -> None:
        """Build all libraries, or say why there are none."""
        try:
            self.build_libraries()
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or str(error)
            print(f"striate: no native kernels were built; torch's are used.\n{reason}", flush=True)

    def build_libraries(self) -> None:
        """Compile and link into the package (in place) or into the build folder."""
        compiler = os.environ.get("CXX") or next(
            filter(shutil.which, ("c++", "g++", "clang++")), ""
        )
        if not compiler:
            raise OSError("No C++ compiler was found (CXX, c++, g++, clang++).")
        command = compiler.split()
        here = Path("build/kernels")
        folder = self.library_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            made = {}
            for name, flags in instruction_sets().items():
                key = hashlib.sha256(" ".join([*command, *FLAGS, *flags]).encode()).hexdigest()[:8]
                objects = here / f"{name}-{key}"
                objects.mkdir(parents=True, exist_ok=True)
                made[name] = [
                    workers.submit(compile_source, [*command, *FLAGS, *flags], source, objects)
                    for source in sorted(SOURCES.glob("*.cpp"))
                ]
            for name, files in made.items():
                link(command, [file.result() for file in files], folder / library_name(name))

    def library_folder(self) -> Path:
        """Where the libraries go: beside the sources for an editable install."""
        if self.inplace or self.editable_mode:
            return Path("src") / INSTALLED
        return Path(self.build_lib) / INSTALLED

    def get_outputs(self) -> list[str]:
        """The libraries that were built."""
        return [str(path) for path in self.library_folder().glob("*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing is copied in an editable install: the libraries lie in the source tree."""
        return {}

    def get_source_files(self) -> list[str]:
        """What a source distribution must hold."""
        return [str(path) for path in sorted(SOURCES.iterdir()) if path.is_file()]


def library_name(instruction_set: str) -> str:
    """The file name that kernels/library.py looks for."""
    return f"striate_kernels_{instruction_set}.so"


def compile_source(command: list[str], source: Path, folder: Path) -> Path:
    """The object file of a source, compiled if it is older than anything that it includes."""
    target, dependencies = folder / f"{source.stem}.o", folder / f"{source.stem}.d"
    if not newer(target, read_dependencies(dependencies)):
        arguments = ["-MMD", "-MF", str(dependencies), "-c", str(source), "-o", str(target)]
        run([*command, *arguments])
    return target


def link(command: list[str], objects: list[Path], target: Path) -> None:
    """Link a shared library, put in place whole so that a process that uses the old one lives."""
    if newer(target, objects):
        return
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    if sys.platform == "darwin":
        only = ["-Wl,-exported_symbol,_striate_*"]
    else:
        exported = objects[0].with_name("exported.map")
        exported.write_text("{ global: striate_*; local: *; };\n", "utf-8")
        only = [f"-Wl,--version-script={exported}", "-Wl,-Bsymbolic", "-Wl,--no-undefined"]
    run([*command, "-shared", "-pthread", *only, *map(str, objects), "-o", str(part), "-lm"])
    part.replace(target)


def run(command: list[str]) -> None:
    """Run the compiler; its complaint is shown, and is the reason if it fails."""
    done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    if done.stderr:
        print(done.stderr, file=sys.stderr, flush=True)


class PlatformWheel(bdist_wheel):
    """Any Python 3 can load the libraries: only the platform is in the wheel's tag."""

    def get_tag(self) -> tuple[str, str, str]:
        """py3-none-<platform>, or py3-none-any where no kernels were built."""
        built = self.get_finalized_command("build_ext").get_outputs()
        return ("py3", "none", super().get_tag()[2] if built else "any")


setup(
    ext_modules=[Extension("striate.kernels._native", sources=[], optional=True)],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
)
