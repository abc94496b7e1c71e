"""Inference: latency of one image, throughput of 256, the same weights everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness import environment
from benchmarks.harness.campaign import Options, chosen, run
from benchmarks.harness.round import Job, interleaved
from benchmarks.harness.worker import call

__all__ = ["ANSWERERS", "EXPECTED_MINUTES", "NETWORKS", "Answerer", "measure"]

EXPECTED_MINUTES = "30 (two cores, three repeats)"
NETWORKS = ("lenet", "vgg", "resnet20", "resnet18", "wide", "alexnet", "lite0-224")
_SECONDS = 2.0
_LIMIT = 600.0


@dataclass(frozen=True)
class Answerer:
    """One row of a table."""

    title: str
    env: str | None
    worker: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    onnx: bool = False


_TORCH = "infer_torch.py"
ANSWERERS = {
    "striate": Answerer("Striate", None, "infer_striate.py"),
    "torch": Answerer("PyTorch", "torch", _TORCH, {"form": "plain"}),
    "torch-tuned": Answerer(
        "PyTorch, frozen, channels last",
        "torch",
        _TORCH,
        {"form": "frozen", "layout": "nhwc", "keep_pages": True},
    ),
    "torch-compile": Answerer(
        "torch.compile, frozen, channels last",
        "torch",
        _TORCH,
        {"form": "compiled", "layout": "nhwc", "keep_pages": True},
    ),
    "onnxruntime": Answerer("onnxruntime", "onnxruntime", "infer_onnxruntime.py", onnx=True),
    "openvino": Answerer("OpenVINO", "openvino", "infer_openvino.py", onnx=True),
}


def measure(options: Options) -> bool:
    """All measurements of this part that are not made yet; True when it is whole."""
    batches = [1, 8] if options.quick else [1, 256]
    store = options.store("inference", seconds=_SECONDS, batches=batches)
    peers = chosen(options.only, ANSWERERS, "peer")
    cases = chosen(options.cases, NETWORKS, "network")

    def figures(job: Job) -> dict[str, Any]:
        answerer = ANSWERERS[job.peer]
        asked: dict[str, Any] = {"case": job.case, "batches": batches, **answerer.asked}
        asked["seconds"] = 0 if options.quick else _SECONDS
        if answerer.onnx:
            asked["onnx"] = _onnx(job.case)
        return call(
            answerer.worker,
            asked,
            env=answerer.env,
            limit=_LIMIT,
            instructions=options.isa,
        )

    return run(
        store,
        interleaved(cases, peers, options.repeats or (1 if options.quick else 3)),
        figures,
        needs=lambda peer: ANSWERERS[peer].env,
        shown=_shown,
        minutes=options.minutes,
    )


def _shown(found: dict[str, Any]) -> str:
    one, many = found["batches"].items()
    latency, throughput = one[1]["step_seconds"], int(many[0]) / many[1]["step_seconds"]
    return f"{1e3 * latency:.2f} ms, {throughput:,.0f} images/s"


def _onnx(case: str) -> str:
    """The network's file, written once by plain PyTorch."""
    path = environment.place("onnx", f"{case}.onnx")
    if not path.is_file():
        call(_TORCH, {"case": case, "onnx": str(path)}, env="torch", limit=_LIMIT)
    return str(path)
