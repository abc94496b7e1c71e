"""One of two processes that train a network on Striate's operators: ddp_worker.py RANK FOLDER."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from striate.execution import accelerate
from tests.unit.execution.whole import images, native, network


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    own = accelerate(network(), native()).eval()
    parallel = torch.nn.parallel.DistributedDataParallel(own)
    share = slice(17 * rank, 17 * (rank + 1))
    x, labels = images()[share], (torch.arange(34) % 5)[share]
    descent = torch.optim.SGD(own.parameters(), 0.05)
    gradients = {}
    for step in range(3):
        descent.zero_grad()
        F.cross_entropy(parallel(x), labels).backward()
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in own.named_parameters()}
        descent.step()
    torch.save({"gradients": gradients, "weights": own.state_dict()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
