"""Answers of an ONNX file in OpenVINO, compiled for each batch with its own hint."""

import openvino
from batches import batches
from protocol import argument, peak_memory, say, timed


def main() -> None:
    asked = argument()
    core = openvino.Core()
    found = {}
    for batch in asked["batches"]:
        images = batches(asked["case"], channels_last=False, batch=batch, count=1)[0][0]
        model = core.read_model(asked["onnx"])
        model.reshape(list(images.shape))
        # LATENCY gives one request all cores, which is what both measurements are: one request.
        # float32 as everywhere else; by itself OpenVINO would round to bfloat16.
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(model, "CPU", hints)
        request = compiled.create_infer_request()
        found[batch] = timed(
            lambda request=request, images=images: request.infer([images], share_inputs=True),
            asked["seconds"],
        )
    say(batches=found, **peak_memory(), versions={"openvino": openvino.__version__})


if __name__ == "__main__":
    main()
