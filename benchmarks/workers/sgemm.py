"""The machine's matrix product in float32: operations a second, the best size."""

import time

import torch
from protocol import argument, say


def main() -> None:
    seconds = argument()["seconds"]
    best, side_of_best = 0.0, 0
    for side in (768, 1536, 3072):
        a, b, c = (torch.randn(side, side) for _ in range(3))
        torch.mm(a, b, out=c)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds / 3:
            before = time.perf_counter()
            torch.mm(a, b, out=c)
            speed = 2 * side**3 / (time.perf_counter() - before)
            if speed > best:
                best, side_of_best = speed, side
    say(flops_per_second=best, side=side_of_best, versions={"torch": torch.__version__})


if __name__ == "__main__":
    main()
