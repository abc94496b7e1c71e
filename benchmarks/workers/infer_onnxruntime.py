"""Answers of an ONNX file in onnxruntime, one image and many."""

import onnxruntime
from batches import batches
from protocol import argument, peak_memory, say, timed


def main() -> None:
    asked = argument()
    session = onnxruntime.InferenceSession(asked["onnx"], providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = {}
    for batch in asked["batches"]:
        images = batches(asked["case"], channels_last=False, batch=batch, count=1)[0][0]
        found[batch] = timed(
            lambda images=images: session.run(None, {name: images}), asked["seconds"]
        )
    say(batches=found, **peak_memory(), versions={"onnxruntime": onnxruntime.__version__})


if __name__ == "__main__":
    main()
