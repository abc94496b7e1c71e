"""How a network runs fastest on this machine: guessed from shapes, measured, or remembered.

A trial has two parts. The methods of each convolution are raced by themselves, geometry by
geometry. Then whole training steps are compared: torch alone against all that could be better.
What wins the second part is taken, so that no sum of good parts can be a loss.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from striate import kernels
from striate.config import ExecutionConfig
from striate.execution.convolution import (
    Convolution,
    MeasuredMethods,
    convolutions,
    measure_methods,
    observe,
)
from striate.execution.device import Execution, threads
from striate.execution.step import step_call
from striate.execution.store import Store, machine
from striate.execution.swap import offered
from striate.execution.timing import Timing, race

_LITTLE_WORK = 150_000_000
"""Multiply-adds of a step's forward pass below which threads wait for each other more than they
help; benchmarks/threads.py measures it."""
_SHARE = 0.025
"""Share of a training's time that the trial may take."""
_LEAST, _MOST = 0.6, 10.0
"""Seconds of a trial: below the first a guess is better, above the second nothing is learned."""
_CALM = 1.0
"""Seconds that whole steps get at least, of the trial."""
_MARGIN = 0.98
"""A candidate must need this share of the incumbent's time to replace it: below it is noise."""
_FEW = 32
"""Images of a measured step below which there are too few to tell many candidates apart."""
_STEP_RATE = 1.5e10
"""Multiply-adds a second and thread, to foresee how long a step will take."""
_WORTH_COMPILING = 1800.0
"""Seconds of training below which compiling on a GPU is not tried unasked: it takes minutes."""


@dataclass(frozen=True)
class Candidate:
    """One way to run whole steps, and how fast it was."""

    title: str
    execution: Execution
    timing: Timing | None = None
    problem: str = ""
    """Why it could not be measured, or may not be used."""


@dataclass
class Trial:
    """The candidates of a trial, and the choice among them."""

    execution: Execution
    batch_shape: tuple[int, ...]
    candidates: list[Candidate] = field(default_factory=list)
    layers: list[Convolution] = field(default_factory=list)
    methods: Mapping[str, MeasuredMethods] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    measured_batch: int = 0
    """Images in the measured steps."""


def trial_seconds(training_seconds: float | None) -> float:
    """Seconds that a trial may take before a training of so many seconds; 0: do not measure.

    Example:
        >>> trial_seconds(20.0), trial_seconds(600.0), trial_seconds(None)
        (0.0, 10.0, 10.0)
    """
    if training_seconds is None:
        return _MOST
    wanted = min(_MOST, _SHARE * training_seconds)
    return wanted if wanted >= _LEAST else 0.0


def step_seconds(
    network: nn.Module, batch_shape: tuple[int, ...], config: ExecutionConfig
) -> float:
    """Roughly how long a training step takes: counted on a CPU, elsewhere of one that is taken."""
    plain = Execution.of(config)
    if plain.device.type != "cpu":
        try:
            call = step_call(network, plain, batch_shape)
            call()  # the first one loads libraries
            began = time.perf_counter()
            call()
            return time.perf_counter() - began
        except RuntimeError:
            pass  # it does not fit into the device's memory
    count = config.threads or torch.get_num_threads()
    return 3 * _work(network, batch_shape) / (_STEP_RATE * count)


def _work(network: nn.Module, batch_shape: tuple[int, ...]) -> float:
    """Multiply-adds of the layers in a batch's forward pass, counted on two images.

    The ledger would count functional calls too, but sets up machinery that takes a second.
    """
    counts: list[float] = []

    def note(module: Any, inputs: object, y: Any) -> None:
        counts.append(y.numel() * module.weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear))]
    with torch.no_grad():
        probe = observe(network, batch_shape, layers, note)
    return sum(counts) * batch_shape[0] / probe


def guess(network: nn.Module, batch_shape: tuple[int, ...], config: ExecutionConfig) -> Execution:
    """A good execution without measuring: the same for the same shapes, machine and versions."""
    plain = Execution.of(config)
    count = config.threads
    if count is None:
        count = 1 if _work(network, batch_shape) < _LITTLE_WORK else torch.get_num_threads()
    plain = replace(plain, threads=count, compiled=_asked(config), origin="guessed")
    if not _may_swap(config, plain):
        return plain
    methods = {}
    for layer in convolutions(network, batch_shape):
        best = kernels.default_methods(layer.geometry)
        if best != "torch,torch,torch":
            methods[layer.name] = best
    return replace(plain, methods=methods, layers=offered(network))


def choose(
    network: nn.Module,
    batch_shape: tuple[int, ...],
    config: ExecutionConfig,
    *,
    seconds: float,
    fresh: bool = False,
    training_seconds: float | None = None,
    store: Store | None = None,
    race: Callable[..., dict[str, Timing]] = race,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """The execution for a network, its batches and this machine, with what was tried.

    What a configuration fixes is not tried. With `exact`, or without time and memory of an
    earlier trial, nothing is measured.

    Args:
        network: on any device; left as it is.
        batch_shape: (B, C, *S) of the training.
        config: what was asked for.
        seconds: for the whole trial; 0: do not measure.
        fresh: measure, whatever is remembered.
        training_seconds: of the training to come; None: long.
        store: of earlier trials.
        race: times the entrants.
        clock: gives seconds.
    """
    began = clock()
    store = store or Store()
    if config.exact:
        return Trial(_exact(network, batch_shape, config), batch_shape, notes=store.notes)
    compiles = _compiles_unasked(config, training_seconds)
    question = _question(network, batch_shape, config, compiles)
    kept = None if fresh else store.read(question)
    if kept is not None and (kept["complete"] or kept["seconds"] >= seconds / 2):
        found = Execution.recorded(config, kept["execution"])
        return Trial(replace(found, origin="remembered"), batch_shape, notes=store.notes)
    first = guess(network, batch_shape, config)
    trial = Trial(first, batch_shape, notes=store.notes)
    if seconds <= 0:
        return trial
    plain = replace(Execution.of(config), threads=first.threads, compiled=first.compiled)
    with threads(config.threads or torch.get_num_threads()):  # it is these that are raced
        if _may_swap(config, plain):
            trial.layers = convolutions(network, batch_shape)
            share = max(seconds - _CALM, 0.5 * seconds) * 0.6
            trial.methods = measure_methods(
                trial.layers, share, store=store, fresh=fresh, race=race, clock=clock
            )
        entrants = _candidates(network, config, plain, trial, compiles)
        left = max(seconds - (clock() - began), 0.2 * seconds)
        _compare(network, trial, entrants, left, step_seconds(network, batch_shape, config), race)
    trial.seconds = clock() - began
    complete = all(m.timings or m.batch for m in trial.methods.values())
    complete = complete and len(trial.candidates) == len(entrants) and seconds >= 4 * _LEAST
    answer = {
        "execution": trial.execution.to_json(),
        "complete": complete,
        "seconds": seconds,
    }
    store.write(question, answer)
    return trial


def _exact(network: nn.Module, batch_shape: tuple[int, ...], config: ExecutionConfig) -> Execution:
    only_torch = replace(config, kernels=False, compile=False, precision="float32")
    return replace(guess(network, batch_shape, only_torch), origin="exact")


def _asked(config: ExecutionConfig) -> str | None:
    return "default" if config.compile else None


def _may_swap(config: ExecutionConfig, plain: Execution) -> bool:
    """Whether Striate's operators are here, fit and were not refused."""
    if config.kernels is False or config.exact or not plain.channels_last:
        return False
    fits = plain.device.type == "cpu" and plain.precision == "float32"
    return fits and kernels.available()


def _candidates(
    network: nn.Module,
    config: ExecutionConfig,
    plain: Execution,
    trial: Trial,
    compiles: bool,
) -> list[Candidate]:
    """Torch first, then what could be better, the likeliest first."""
    swaps = _may_swap(config, plain)
    alone = Candidate("torch", replace(plain, origin="measured"))
    entrants = [] if config.kernels and swaps else [alone]

    def add(title: str, execution: Execution) -> None:
        execution = replace(execution, origin="measured")
        if all(execution != known.execution for known in entrants):
            entrants.append(Candidate(title, execution))

    best = plain
    if swaps:
        raced = {n: m.chosen for n, m in trial.methods.items() if m.chosen != "torch,torch,torch"}
        best = replace(plain, methods=raced, layers=offered(network))
        add("kernels", best)
        if not config.kernels:
            _add_fewer(best, add)
    if config.threads is None and plain.device.type == "cpu" and torch.get_num_threads() > 1:
        other = 1 if plain.threads != 1 else torch.get_num_threads()
        # Many threads on much work, or one on little, need no trial.
        if _work_of(trial) < 20 * _LITTLE_WORK:
            add(
                f"{entrants[-1].title if not best.layers else 'kernels'}, {other} thread(s)",
                replace(best, threads=other),
            )
    if alone in entrants:
        if config.channels_last is None:
            add("torch, channels first", replace(plain, channels_last=False))
        _add_devices(config, plain, compiles, add)
    return entrants


def _add_fewer(best: Execution, add: Callable[[str, Execution], None]) -> None:
    """Some of Striate's operators, torch's for the others."""
    if best.layers and best.methods:
        add("kernels, convolutions alone", replace(best, layers=()))
        add("kernels, all but convolutions", replace(best, methods={}))
    if len(best.layers) > 1:
        for family in best.layers:
            fewer = tuple(other for other in best.layers if other != family)
            add(f"kernels, all but {family}", replace(best, layers=fewer))


def _work_of(trial: Trial) -> float:
    return float(sum(layer.multiply_adds for layer in trial.layers))


def _add_devices(
    config: ExecutionConfig,
    plain: Execution,
    compiles: bool,
    add: Callable[[str, Execution], None],
) -> None:
    """Narrow numbers, where a person allowed them, and compilation on GPUs."""
    narrow = [plain.precision]
    if config.precision == "auto":
        is_gpu = plain.device.type == "cuda"
        if is_gpu:
            narrow.append("tf32")
        if torch.cuda.is_bf16_supported() if is_gpu else _has_cpu_bfloat16():
            narrow.append("bfloat16")
        for precision in narrow[1:]:
            add(f"torch, {precision}", replace(plain, precision=precision))
    if compiles:
        for mode in ("default", "reduce-overhead"):  # the second one records CUDA graphs
            add(f"torch.compile, {mode}", replace(plain, precision=narrow[-1], compiled=mode))


def _compiles_unasked(config: ExecutionConfig, training_seconds: float | None) -> bool:
    """Whether compilation is tried: on GPUs, before a long training, unless a person decided."""
    long = training_seconds is None or training_seconds >= _WORTH_COMPILING
    return config.compile is None and Execution.of(config).device.type == "cuda" and long


def _has_cpu_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; emulated it is slow."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe is not None and probe())


def _compare(
    network: nn.Module,
    trial: Trial,
    entrants: list[Candidate],
    seconds: float,
    expected: float,
    race: Callable[..., dict[str, Timing]],
) -> None:
    """Time whole steps of all candidates, each expected to take so long, and choose."""
    share = _fitting(seconds, len(entrants)) / max(expected, 1e-9)
    if share * trial.batch_shape[0] < _FEW and len(entrants) > 2:
        entrants = entrants[:2]  # better two on many images than all on a few
        share = _fitting(seconds, 2) / max(expected, 1e-9)
    share = min(1.0, share)
    batch = max(min(trial.batch_shape[0], 8), round(share * trial.batch_shape[0]))
    shape = (batch, *trial.batch_shape[1:])
    trial.measured_batch = batch
    calls: dict[str, Callable[[], object]] = {}
    judged: list[Candidate] = []
    for entrant in entrants:
        problem = ""
        try:
            call = step_call(network, entrant.execution, shape)
            if entrant.execution.compiled is not None:
                call()  # a compiler that is missing or gives up is told, not raised
            calls[entrant.title] = call
        except RuntimeError as error:
            problem = str(error).partition("\n")[0]
        judged.append(replace(entrant, problem=problem))
    times = race(calls, seconds, least_turns=1, most_turns=7)
    trial.candidates = [replace(e, timing=times.get(e.title)) for e in judged]
    usable = [entrant for entrant in trial.candidates if entrant.timing is not None]
    if not usable:
        return  # the guess holds, which was compared by itself
    held = usable[0]
    for entrant in usable[1:]:
        if _seconds(entrant) < _MARGIN * _seconds(held):
            held = entrant
    trial.execution = held.execution


def _fitting(seconds: float, num_entrants: int) -> float:
    """Seconds for one step: each has a first turn and two that count."""
    return seconds / (3 * num_entrants)


def _seconds(entrant: Candidate) -> float:
    return float("inf") if entrant.timing is None else entrant.timing.best


def _question(
    network: nn.Module, batch_shape: tuple[int, ...], config: ExecutionConfig, compiles: bool
) -> dict[str, Any]:
    """The key of a choice: machine, structure and shapes, settings and candidates."""
    text = [
        f"{name} {type(module).__name__} {module.extra_repr()}"
        for name, module in network.named_modules()
    ]
    text += [f"{name} {tuple(p.shape)} {p.requires_grad}" for name, p in network.named_parameters()]
    return {
        "network": hashlib.sha256("\n".join(text).encode()).hexdigest()[:20],
        "batch": list(batch_shape),
        "asked": {
            name: getattr(config, name)
            for name in ("threads", "channels_last", "precision", "kernels", "compile")
        },
        "machine": machine(Execution.of(config).device),
        **({"compiles": True} if compiles else {}),
    }
