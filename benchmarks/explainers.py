"""Evidence by Striate, Captum and pytorch-grad-cam on one network: results, speed, traces.

    pip install -r benchmarks/peers/seeing.txt
    python benchmarks/explainers.py

asks each library for the same maps of one residual network, in turns, and prints how far the maps
are apart, the median time beside Striate's, and what was left on the network afterwards. The
network is written once with ReLU modules and once with functions: what a library says of the two
must be the same. A library that is not installed is left out with a word.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate import seeing

Maps = Callable[[nn.Module, Tensor, int], Tensor]


class Block(nn.Module):
    """A residual block, with its rectifiers as modules or as functions in place."""

    def __init__(self, width: int, functional_relu: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.relu = None if functional_relu else nn.ReLU()
        self.last = None if functional_relu else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.relu is None or self.last is None:
            y = functional.relu(self.first(x), inplace=True)
            return functional.relu(x + self.second(y))
        out: Tensor = self.last(x + self.second(self.relu(self.first(x))))
        return out


def network(functional_relu: bool) -> nn.Module:
    torch.manual_seed(0)
    width = 32
    return nn.Sequential(
        nn.Conv2d(3, width, 7, stride=4, padding=3),
        *(Block(width, functional_relu) for _ in range(4)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    ).eval()  # fmt: skip


def libraries() -> dict[str, dict[str, Maps]]:
    """Maps of each library, by name of the method."""
    found: dict[str, dict[str, Maps]] = {
        "Striate": {
            "gradient": lambda n, x, k: seeing.gradient(n, x, k),
            "guided": lambda n, x, k: seeing.guided_backpropagation(n, x, k),
            "deconvnet": lambda n, x, k: seeing.deconvnet(n, x, k),
            "Grad-CAM": lambda n, x, k: seeing.grad_cam(n, x, k, "4"),
            "integrated": lambda n, x, k: seeing.integrated_gradients(n, x, k, steps=32),
            "occlusion": lambda n, x, k: seeing.occlusion(n, x, k, window=16, stride=16),
        }
    }
    try:
        import captum.attr as captum

        found["Captum"] = {
            "gradient": lambda n, x, k: captum.Saliency(n).attribute(x, k, abs=False),
            "guided": lambda n, x, k: captum.GuidedBackprop(n).attribute(x, k),
            "deconvnet": lambda n, x, k: captum.Deconvolution(n).attribute(x, k),
            "Grad-CAM": lambda n, x, k: captum.LayerGradCam(n, n[4]).attribute(
                x, k, relu_attributions=True
            )[:, 0],
            "integrated": lambda n, x, k: captum.IntegratedGradients(n).attribute(
                x, target=k, n_steps=32, method="riemann_middle", internal_batch_size=32
            ),
            "occlusion": lambda n, x, k: captum.Occlusion(n).attribute(
                x, (3, 16, 16), (3, 16, 16), target=k, perturbations_per_eval=32
            )[:, 0],
        }
    except ImportError:
        print("Captum is not installed and is left out.")
    try:
        from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        def cam(n: Any, x: Tensor, k: int) -> Tensor:
            with GradCAM(model=n, target_layers=[n[4]]) as made:
                return torch.from_numpy(made(x, [ClassifierOutputTarget(k)] * len(x)))

        def guided(n: Any, x: Tensor, k: int) -> Tensor:
            model = GuidedBackpropReLUModel(model=n, device=torch.device("cpu"))
            maps = [torch.from_numpy(model(one[None], target_category=k)) for one in x]
            return torch.stack(maps).permute(0, 3, 1, 2)

        found["pytorch-grad-cam"] = {"Grad-CAM": cam, "guided": guided}
    except ImportError:
        print("pytorch-grad-cam is not installed and is left out.")
    return found


def state(net: nn.Module) -> dict[str, Any]:
    """What a caller can see of a network."""
    seen: dict[str, Any] = {}
    for name, module in net.named_modules():
        seen[f"{name} type"] = type(module).__name__
        seen[f"{name} identity"] = id(module)
        seen[f"{name} keys"] = tuple(sorted(vars(module)))
        for key, value in vars(module).items():
            if key.endswith("hooks"):
                seen[f"{name} {key}"] = len(value)
    for name, parameter in net.named_parameters():
        seen[f"{name} gradient"] = parameter.grad is not None
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    images, found = torch.randn(arguments.batch, 3, 128, 128), libraries()
    reference: dict[str, Tensor] = {}
    for written in ("modules", "functions"):
        times: dict[tuple[str, str], list[float]] = {}
        rows: dict[tuple[str, str], str] = {}
        for _ in range(arguments.repeats):
            for library, its in found.items():
                for method, maps in its.items():
                    net = network(written == "functions")
                    before = state(net)
                    began = time.perf_counter()
                    try:
                        result = maps(net, images.clone(), 3).detach()
                    except Exception as error:
                        rows[library, method] = f"fails: {type(error).__name__}"
                        continue
                    times.setdefault((library, method), []).append(time.perf_counter() - began)
                    after = state(net)
                    changed = [key for key in before if after.get(key) != before[key]]
                    changed += [key for key in after if key not in before]
                    own = reference.setdefault(method, result)
                    apart = "other shape"
                    if own.shape == result.shape:
                        apart = f"{float((own - result).abs().max() / own.abs().max()):.1e}"
                    rows[library, method] = f"differs by {apart}; left on it: {len(changed)} traces"
        print(f"Rectifiers as {written}:")
        for (library, method), text in rows.items():
            own_time = statistics.median(times.get(("Striate", method), [float("nan")]))
            its_time = statistics.median(times.get((library, method), [float("nan")]))
            print(f"  {method:10} {library:17} {its_time / own_time:6.2f} × Striate's time; {text}")


if __name__ == "__main__":
    main()
