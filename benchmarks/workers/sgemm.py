"""The machine's matrix product in float32: operations a second, of the best library and size."""

import time

import numpy as np
import torch
from protocol import argument, say


def main() -> None:
    seconds = argument()["seconds"]
    best: dict[str, float] = {}
    for side in (768, 1536, 3072):
        a, b, c = (torch.randn(side, side) for _ in range(3))
        x, y, z = a.numpy(), b.numpy(), c.numpy()
        # torch brings MKL, NumPy OpenBLAS: which one is faster depends on the processor.
        products = {
            "torch": lambda a=a, b=b, c=c: torch.mm(a, b, out=c),
            "numpy": lambda x=x, y=y, z=z: np.matmul(x, y, out=z),
        }
        for name, product in products.items():
            product()
            began = time.perf_counter()
            while time.perf_counter() - began < seconds / 6:
                before = time.perf_counter()
                product()
                speed = 2 * side**3 / (time.perf_counter() - before)
                best[name] = max(best.get(name, 0.0), speed)
    winner = max(best, key=best.__getitem__)
    say(
        flops_per_second=best[winner],
        library=winner,
        by_library=best,
        versions={"torch": torch.__version__, "numpy": np.__version__},
    )


if __name__ == "__main__":
    main()
