"""Pictures, pages and printed text of commands, made while the documents are built.

A page asks for them by a comment on a line of its own:

    <!-- printed: race -->                     what the commands of a job print
    <!-- page: race.html | A race to play -->  a page of its own, in a frame

and by ordinary images of `pictures/`. What the jobs made is kept in build/docs and made again
when the package or the jobs change.
"""

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "docs"
PRINTED = re.compile(r"^<!-- printed: ([\w-]+) -->$", re.MULTILINE)
PROGRESS = re.compile(r"^[a-z ]+: [\d,]+ of [\d,]+")
FRAMED = re.compile(r"^<!-- page: ([\w.-]+) \| (.+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """Commands that are run one after the other in a folder of their own."""

    commands: tuple[str, ...]
    keeps: Mapping[str, str] = field(default_factory=dict)  # file the commands write -> its name


JOBS = {
    "report": Job(
        (
            "striate train digits --steps 60 --out runs/digits",
            "striate evaluate runs/digits",
            "striate predict runs/digits three.png",
        ),
        {"runs/digits/report.html": "report.html", "three.png": "three.png"},
    ),
    "inspection": Job(
        ("striate inspect photos --out inspection",),
        {"inspection/inspection.html": "inspection.html"},
    ),
    "neuron": Job(
        (
            'striate graph "1/(1+exp(-(w0*x0+w1*x1+w2)))" '
            "w0=2 x0=-1 w1=-3 x1=-2 w2=-3 --svg neuron.svg",
        ),
        {"neuron.svg": "neuron.svg"},
    ),
    "lenet5": Job(
        ("striate graph lenet5 --shape 1,28,28 --mirror mirror.svg",),
        {"mirror.svg": "mirror.svg"},
    ),
    "jacobian": Job(
        ('striate jacobian "softmax(x)" "x=[1,2,3]" --svg jacobian.svg',),
        {"jacobian.svg": "jacobian.svg"},
    ),
    "race": Job(
        ("striate race --surface ravine --steps 100 --html race.html",), {"race.html": "race.html"}
    ),
    "variance": Job(("striate variance lenet5",)),
    "bptt": Job(("striate bptt --png bptt.png",), {"bptt.png": "bptt.png"}),
    "rate": Job(("striate rate digits --steps 60 --png rate.png",), {"rate.png": "rate.png"}),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Run what is not kept from an earlier build, and add what was made to the site."""
    folder = KEPT / _key()
    if not folder.is_dir():
        shutil.rmtree(KEPT, ignore_errors=True)
        made = KEPT / "made"
        made.mkdir(parents=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: _make(name, made), JOBS))
        made.rename(folder)
    for path in sorted(folder.glob("*")):
        if path.suffix != ".json":
            files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with what its comments ask for."""
    markdown = PRINTED.sub(lambda found: _printed(found[1]), markdown)
    return FRAMED.sub(lambda found: _framed(found[1], found[2], page), markdown)


def _printed(name: str) -> str:
    return "".join(
        f"```console\n$ {command}\n{text}\n```\n\n"
        for command, text in json.loads((KEPT / _key() / f"{name}.json").read_text("utf-8"))
    )


def _framed(name: str, title: str, page: Page) -> str:
    address = get_relative_url(f"pictures/{name}", page.url)
    return (
        f'<figure class="frame"><iframe src="{address}" title="{title}" loading="lazy"></iframe>'
        f'<figcaption>{title} · <a href="{address}">alone</a></figcaption></figure>'
    )


def _make(name: str, made: Path) -> None:
    """Run the commands of a job; keep the files that it names, and what was printed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _prepare(folder)
        environment = {
            **os.environ,
            "COLUMNS": "78",
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",
            "STRIATE_HOME": str(folder / ".home"),
            "STRIATE_CACHE": str(folder / ".cache"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        printed = []
        for command in JOBS[name].commands:
            run = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            if run.returncode:
                raise PluginError(f"`{command}` failed:\n{run.stdout}{run.stderr}")
            lines = [line.rstrip() for line in run.stdout.splitlines() if not PROGRESS.match(line)]
            printed.append((command, "\n".join(lines)))
        for source, target in JOBS[name].keeps.items():
            shutil.copyfile(folder / source, made / target)
        (made / f"{name}.json").write_text(json.dumps(printed), "utf-8")


def _prepare(folder: Path) -> None:
    """A picture to predict, and a small folder of photographs in which things are wrong."""
    images = [Image.fromarray((16 * image).clip(0, 255).astype(np.uint8)) for image in _digits()]
    images[3].resize((64, 64), Image.Resampling.NEAREST).save(folder / "three.png")
    target = load_digits().target[:300]
    for index, (image, label) in enumerate(zip(images, target, strict=True)):
        wrong = (label + 1) % 10 if index in (40, 87, 151) else label
        part = "test" if index >= 240 else "train"
        path = folder / "photos" / part / f"digit{wrong}" / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.resize((32, 32), Image.Resampling.BICUBIC).save(path)
        if index in (250, 260):  # copies that leak
            shutil.copyfile(
                path, folder / "photos" / "train" / f"digit{wrong}" / f"copy{index}.png"
            )
    (folder / "photos" / "train" / "digit0" / "error.png").write_text("<html>404 Not Found</html>")


def _digits() -> np.ndarray:
    return load_digits().images[:300]


def _key() -> str:
    """A hash over the jobs and the sources of the package."""
    digest = hashlib.sha256(f"{JOBS}{inspect.getsource(_prepare)}".encode())
    for path in sorted((ROOT / "src" / "striate").rglob("*")):
        if path.suffix in (".py", ".j2", ".css", ".js", ".html", ".json", ".cpp", ".h"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
