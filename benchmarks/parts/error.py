"""CIFAR-10: the error on the official test split after so many seconds, everything included.

Striate: the wall time of the whole command `striate train DATA --minutes M`, then
`striate evaluate`. Peers: the wall time of the whole training script up to its last step, on all
training images. At first both decode the images (cold), or both find them decoded (warm); over
long times, where the few seconds of decoding change nothing that can be told, peers are warm only.
Like the peers, Striate keeps the training images that have their like in the test split.
"""

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import cifar, environment
from benchmarks.harness.campaign import Options, chosen, run
from benchmarks.harness.process import FailureError, finished
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.store import load
from benchmarks.harness.worker import call, variables
from striate.data.cache import FORMAT

__all__ = ["BUDGETS", "EXPECTED_MINUTES", "RECIPES", "Recipe", "measure"]

EXPECTED_MINUTES = (
    "600 (three repeats up to 300 s, one beyond; --budgets, --only, --repeats and "
    "--max-minutes take pieces)"
)
BUDGETS = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0)
_LONG = 300.0  # beyond this, one repeat unless more are asked for
_DECODING_TELLS = 60.0  # seconds; beyond, peers are spared the decoding
_GRACE = 900.0  # seconds beyond the budget for evaluation on a busy machine
_QUICK_IMAGES = 500


@dataclass(frozen=True)
class Recipe:
    """Who trains, and how."""

    title: str
    env: str | None = None
    worker: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    warm: bool = True
    """The images are decoded already; Striate remembers its measurements, too."""


_TORCH = "cifar_torch.py"
RECIPES = {
    "striate": Recipe("Striate, cold", warm=False),
    "striate-warm": Recipe("Striate, warm"),
    "tutorial": Recipe("PyTorch, tutorial's network", "torch", _TORCH, {"recipe": "tutorial"}),
    "resnet20": Recipe("PyTorch, ResNet-20", "torch", _TORCH, {"recipe": "resnet20"}),
    "resnet18": Recipe("PyTorch, ResNet-18", "torch", _TORCH, {"recipe": "resnet18"}),
    "airbench": Recipe("PyTorch, airbench's recipe", "torch", _TORCH, {"recipe": "airbench"}),
    "keras": Recipe(
        "Keras 3, example's network",
        "keras",
        "cifar_keras.py",
        {"backend": "torch", "format": "channels_first"},
    ),
}
RECIPES |= {
    f"{name}-cold": replace(recipe, title=f"{recipe.title}, cold", warm=False)
    for name, recipe in RECIPES.items()
    if recipe.worker
}


def measure(options: Options, budgets: Sequence[float] = (), images: int | None = None) -> bool:
    """All measurements of this part that are not made yet; True when it is whole.

    Args:
        options: as for every part; `data` names the set.
        budgets: seconds; none: all of `BUDGETS` (15 s alone in a quick run).
        images: test images that peers answer; None: all.
    """
    source = cifar.find(options.data)
    folder = cifar.arrays(source)
    if images is None and options.quick:
        images = _QUICK_IMAGES
    store = options.store("error", data=source.name, images=images)
    peers = chosen(options.only, RECIPES, "peer")
    wanted = list(budgets) or ([BUDGETS[0]] if options.quick else list(BUDGETS))

    def figures(job: Job) -> dict[str, Any]:
        recipe = RECIPES[job.peer]
        budget = float(job.case)
        if not recipe.worker:
            return _striate(source, budget, job.repeat, recipe.warm, options.isa)
        asked = {"folder": str(folder), "budget": budget, "seed": job.repeat, "images": images}
        asked["source"] = "" if recipe.warm else str(source)
        return call(
            recipe.worker,
            {**recipe.asked, **asked, "began": time.time()},
            env=recipe.env,
            limit=budget + _GRACE,
            instructions=options.isa,
        )

    return run(
        store,
        _jobs(wanted, peers, options),
        figures,
        needs=lambda peer: RECIPES[peer].env,
        shown=lambda found: f"{found['test_error']:.2%} error after {found['seconds']:.1f} s",
        minutes=options.minutes,
    )


def _jobs(budgets: Sequence[float], peers: Sequence[str], options: Options) -> Iterator[Job]:
    for budget in budgets:
        usual = 1 if options.quick or budget > _LONG else 3
        present = [peer for peer in peers if peer in options.only or _tells(RECIPES[peer], budget)]
        yield from interleaved([f"{budget:g}"], present, options.repeats or usual)


def _tells(recipe: Recipe, budget: float) -> bool:
    """Whether a recipe says something at a budget that its warm twin does not."""
    return recipe.warm or not recipe.worker or budget <= _DECODING_TELLS


def _striate(source: Path, budget: float, seed: int, warm: bool, isa: str | None) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="striate-error-"))
    cache = environment.cache(isa) if warm else folder / "cache"
    given = variables(None, isa, {"STRIATE_CACHE": str(cache)})
    python = [sys.executable, "-m", "striate"]
    try:
        if warm:
            _warm(python, source, given)
        command = [*python, "train", str(source), "--minutes", f"{budget / 60:.6g}"]
        command += ["--seed", str(seed), "--out", str(folder / "run"), "--allow-leaks"]
        _, seconds = finished(command, environment=given, limit=budget + _GRACE)
        out = folder / "answer.json"
        command = [*python, "evaluate", str(folder / "run"), "--json", str(out)]
        _, asked = finished(command, environment=given, limit=_GRACE)
        answer = load(out)
        record = load(folder / "run" / "run.json")
        return {
            "test_error": answer["measures"]["error"]["value"],
            "n": answer["measures"]["n"],
            "opening": answer["opening"],
            "seconds": round(seconds, 2),
            "evaluate_seconds": round(asked, 2),
            "network": record["config"]["network"],
            "batch": record["config"]["training"]["batch_size"],
        }
    except (OSError, KeyError, ValueError) as error:
        raise FailureError(f"its answer could not be read: {error!r}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _warm(python: list[str], source: Path, given: Mapping[str, str]) -> None:
    """Decode the set into the benchmarks' own cache, once."""
    look = f"{source} {source.stat().st_mtime_ns} {FORMAT}"
    named = hashlib.sha256(look.encode()).hexdigest()[:12]
    mark = Path(given["STRIATE_CACHE"], f".warm-{named}")
    if mark.is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [*python, "train", str(source), "--steps", "1", "--allow-leaks"]
        command += ["--out", f"{folder}/run"]
        finished(command, environment=given, limit=_GRACE)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text("")
