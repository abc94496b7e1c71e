"""Answers of a plain network through Striate's execution, one image and many."""

import torch
from batches import batches
from cases import CASES
from networks_torch import build
from protocol import argument, peak_memory, say, timed
from striate_execution import prepared, versions


def main() -> None:
    asked = argument()
    torch.manual_seed(0)
    case = CASES[asked["case"]]
    found, how = {}, {}
    for batch in asked["batches"]:
        pixels = batches(asked["case"], channels_last=True, batch=batch, count=1)[0][0]
        shape = (batch, case.channels, case.side, case.side)
        network, execution, how[batch] = prepared(build(asked["case"]).eval(), shape)
        network.eval()

        def answer(network=network, execution=execution, pixels=pixels) -> torch.Tensor:
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            with execution.autocast():
                return network(images)

        with execution.arithmetic(), torch.inference_mode():
            found[batch] = timed(answer, asked["seconds"])
    say(batches=found, how=how, **peak_memory(), versions=versions())


if __name__ == "__main__":
    main()
