"""How a network runs fastest on this machine: guessed from shapes, measured, or remembered.

A trial has two parts. The methods of each convolution are raced by themselves, geometry by
geometry. Then whole training steps are compared: torch alone against all that could be better.
What wins the second part is taken, so that no sum of good parts can be a loss.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import torch
from torch import nn

from striate import kernels
from striate.config import ExecutionConfig
from striate.execution import store
from striate.execution.convolution import (
    Convolution,
    MeasuredMethods,
    convolutions,
    measure_methods,
    observe,
)
from striate.execution.device import Execution, threads
from striate.execution.step import step_call
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
"""Seconds of training below which compiling on a GPU is not tried: it takes minutes."""


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
            began = perf_counter()
            call()
            return perf_counter() - began
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
    """A good execution without measuring: the same for the same shapes, machine and versions.

    With `exact` it is torch's operators, as they come.
    """
    if config.exact:
        config = replace(config, kernels=False, compile=False, precision="float32")
    plain = Execution.of(config)
    count = config.threads
    if count is None:
        count = 1 if _work(network, batch_shape) < _LITTLE_WORK else torch.get_num_threads()
    compiled = "default" if config.compile else None
    origin = "exact" if config.exact else "guessed"
    plain = replace(plain, threads=count, compiled=compiled, origin=origin)
    if not _may_swap(config, plain):
        return plain
    guessed = {
        layer.name: kernels.default_methods(layer.geometry)
        for layer in convolutions(network, batch_shape)
    }
    methods = {name: best for name, best in guessed.items() if best != "torch,torch,torch"}
    return replace(plain, methods=methods, layers=offered(network))


def choose(
    network: nn.Module,
    batch_shape: tuple[int, ...],
    config: ExecutionConfig,
    *,
    seconds: float,
    fresh: bool = False,
    training_seconds: float | None = None,
) -> Trial:
    """The execution for a network, its batches and this machine, with what was tried.

    What a configuration fixes is not tried. With `exact`, or without time and memory of an
    earlier trial, nothing is measured.

    Args:
        network: Network on any device; left as it is.
        batch_shape: Shape (B, C, *S) of the training batches.
        config: Configuration; what is None in it is chosen.
        seconds: Time for the whole trial; 0: do not measure.
        fresh: Whether to measure, whatever is remembered.
        training_seconds: Length of the training to come; None: long.
    """
    began = perf_counter()
    notes: list[str] = []
    if config.exact:
        return Trial(guess(network, batch_shape, config), batch_shape)
    compiles = _tries_compilation(config, training_seconds)
    question = _question(network, batch_shape, config, compiles)
    kept = None if fresh else store.read(question, notes)
    if kept is not None and (kept["complete"] or kept["seconds"] >= seconds / 2):
        remembered = Execution.recorded(config, kept["execution"])
        return Trial(replace(remembered, origin="remembered"), batch_shape)
    first = guess(network, batch_shape, config)
    trial = Trial(first, batch_shape, notes=notes)
    if seconds <= 0:
        return trial
    plain = replace(Execution.of(config), threads=first.threads, compiled=first.compiled)
    with threads(config.threads or torch.get_num_threads()):  # it is these that are raced
        if _may_swap(config, plain):
            trial.layers = convolutions(network, batch_shape)
            share = max(seconds - _CALM, 0.5 * seconds) * 0.6
            trial.methods = measure_methods(trial.layers, share, notes, fresh=fresh)
        entrants = _candidates(network, config, plain, trial, compiles)
        left = max(seconds - (perf_counter() - began), 0.2 * seconds)
        _compare(network, trial, entrants, left, step_seconds(network, batch_shape, config))
    trial.seconds = perf_counter() - began
    complete = all(m.timings or m.batch for m in trial.methods.values())
    complete = complete and len(trial.candidates) == len(entrants) and seconds >= 4 * _LEAST
    result = {"execution": trial.execution.to_json(), "complete": complete, "seconds": seconds}
    store.write(question, result, notes)
    return trial


def _may_swap(config: ExecutionConfig, plain: Execution) -> bool:
    """Whether Striate's operators are here, fit and were not refused."""
    if config.kernels is False or config.exact or not plain.channels_last:
        return False
    fits = plain.device.type == "cpu" and plain.precision == "float32"
    return fits and kernels.available()


def _candidates(
    network: nn.Module, config: ExecutionConfig, plain: Execution, trial: Trial, compiles: bool
) -> list[Candidate]:
    """The different ways to run whole steps, the likeliest first."""
    candidates: list[Candidate] = []
    for title, execution in _ways(network, config, plain, trial, compiles):
        execution = replace(execution, origin="measured")
        if all(execution != known.execution for known in candidates):
            candidates.append(Candidate(title, execution))
    return candidates


def _ways(
    network: nn.Module, config: ExecutionConfig, plain: Execution, trial: Trial, compiles: bool
) -> Iterator[tuple[str, Execution]]:
    """Titles and executions: torch first, then what could be better."""
    swaps = _may_swap(config, plain)
    torch_too = not (config.kernels and swaps)
    best = plain
    if torch_too:
        yield "torch", plain
    if swaps:
        raced = {n: m.chosen for n, m in trial.methods.items() if m.chosen != "torch,torch,torch"}
        best = replace(plain, methods=raced, layers=offered(network))
        yield "kernels", best
        if not config.kernels:
            yield from _with_fewer(best)
    if config.threads is None and plain.device.type == "cpu" and torch.get_num_threads() > 1:
        other = 1 if plain.threads != 1 else torch.get_num_threads()
        # Many threads on much work, or one on little, need no trial.
        if sum(layer.multiply_adds for layer in trial.layers) < 20 * _LITTLE_WORK:
            title = "torch" if torch_too and best == plain else "kernels"
            yield f"{title}, {other} thread(s)", replace(best, threads=other)
    if torch_too:
        if config.channels_last is None:
            yield "torch, channels first", replace(plain, channels_last=False)
        yield from _on_devices(config, plain, compiles)


def _with_fewer(best: Execution) -> Iterator[tuple[str, Execution]]:
    """Some of Striate's operators, torch's for the others."""
    if best.layers and best.methods:
        yield "kernels, convolutions alone", replace(best, layers=())
        yield "kernels, all but convolutions", replace(best, methods={})
    if len(best.layers) > 1:
        for family in best.layers:
            fewer = tuple(other for other in best.layers if other != family)
            yield f"kernels, all but {family}", replace(best, layers=fewer)


def _on_devices(
    config: ExecutionConfig, plain: Execution, compiles: bool
) -> Iterator[tuple[str, Execution]]:
    """Narrow numbers, where the configuration allows them, and compilation on GPUs."""
    precision = plain.precision
    if config.precision == "auto":
        is_gpu = plain.device.type == "cuda"
        has_bfloat16 = torch.cuda.is_bf16_supported() if is_gpu else _has_cpu_bfloat16()
        for precision in ["tf32"] * is_gpu + ["bfloat16"] * has_bfloat16:
            yield f"torch, {precision}", replace(plain, precision=precision)
    if compiles:
        for mode in ("default", "reduce-overhead"):  # the second one records CUDA graphs
            yield f"torch.compile, {mode}", replace(plain, precision=precision, compiled=mode)


def _tries_compilation(config: ExecutionConfig, training_seconds: float | None) -> bool:
    """Whether compilation is tried: on GPUs, before a long training, unless a person decided."""
    long = training_seconds is None or training_seconds >= _WORTH_COMPILING
    return config.compile is None and Execution.of(config).device.type == "cuda" and long


def _has_cpu_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; emulated it is slow."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe is not None and probe())


def _compare(
    network: nn.Module, trial: Trial, entrants: list[Candidate], seconds: float, expected: float
) -> None:
    """Time whole steps of all candidates, each expected to take so long, and choose."""
    share = seconds / (3 * len(entrants)) / max(expected, 1e-9)  # a first turn and two that count
    if share * trial.batch_shape[0] < _FEW and len(entrants) > 2:
        share *= len(entrants) / 2
        entrants = entrants[:2]  # better two on many images than all on a few
    share = min(1.0, share)
    batch = max(min(trial.batch_shape[0], 8), round(share * trial.batch_shape[0]))
    trial.measured_batch = batch
    calls: dict[str, Callable[[], object]] = {}
    problems: dict[str, str] = {}
    for entrant in entrants:
        try:
            call = step_call(network, entrant.execution, (batch, *trial.batch_shape[1:]))
            if entrant.execution.compiled is not None:
                call()  # a compiler that is missing or gives up is reported, not raised
            calls[entrant.title] = call
        except RuntimeError as error:
            problems[entrant.title] = str(error).partition("\n")[0]
    times = race(calls, seconds, least_turns=1, most_turns=7)
    held: Timing | None = None  # where none can be used, the guess holds
    for entrant in entrants:
        timing = times.get(entrant.title)
        problem = problems.get(entrant.title, "")
        trial.candidates.append(replace(entrant, timing=timing, problem=problem))
        if timing is not None and (held is None or timing.best < _MARGIN * held.best):
            held, trial.execution = timing, entrant.execution


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
        "machine": store.machine(Execution.of(config).device),
        **({"compiles": True} if compiles else {}),
    }
