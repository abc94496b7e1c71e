"""Answers of a network in PyTorch, one image and many: plain, tuned, compiled; or its ONNX file."""

import pathlib
import warnings

import torch
from batches import batches
from cases import CASES
from networks_torch import build
from protocol import argument, peak_memory, say, timed
from train_torch import keep_pages


def main() -> None:
    warnings.simplefilter("ignore")
    asked = argument()
    torch.manual_seed(0)
    network = build(asked["case"]).eval()
    if asked.get("onnx"):
        _export(network, asked)
        return
    last = asked.get("layout") == "nhwc"
    if asked.get("keep_pages"):
        keep_pages()
    if last:
        network = network.to(memory_format=torch.channels_last)
    found = {}
    with torch.inference_mode():
        for batch in asked["batches"]:
            pixels = batches(asked["case"], channels_last=last, batch=batch, count=1)[0][0]

            def images(pixels=pixels) -> torch.Tensor:
                whole = torch.from_numpy(pixels)
                return whole.permute(0, 3, 1, 2) if last else whole

            answer = _made(network, images(), asked["form"])
            found[batch] = timed(
                lambda answer=answer, images=images: answer(images()), asked["seconds"]
            )
    say(batches=found, **peak_memory(), versions={"torch": torch.__version__})


def _made(network: torch.nn.Module, example: torch.Tensor, form: str):
    if form == "compiled":
        import torch._inductor.config as inductor

        inductor.freezing = True
        return torch.compile(network, dynamic=False)
    if form == "frozen":
        # Not inside inference mode: tracing keeps constants, which must be ordinary tensors.
        with torch.inference_mode(False), torch.no_grad():
            traced = torch.jit.trace(network, example.clone())
            return torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return network


def _export(network: torch.nn.Module, asked: dict) -> None:
    case = CASES[asked["case"]]
    path = pathlib.Path(asked["onnx"])
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    example = torch.zeros(2, case.channels, case.side, case.side)
    shapes = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    torch.onnx.export(
        network, (example,), str(new), dynamo=True, dynamic_shapes=shapes, external_data=False
    )
    new.replace(path)
    say(onnx=str(path))


if __name__ == "__main__":
    main()
