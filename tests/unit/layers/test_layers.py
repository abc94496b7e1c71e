"""What layers refuse, and in which words."""

import jaxtyping
import pytest
import torch

from striate import layers
from striate.errors import ConfigError, ShapeError
from striate.layers.window import Window, per_axis


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as a person runs it, without the annotation checks of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class TestWindow:
    def test_too_short_an_axis_says_what_would_do(self) -> None:
        with pytest.raises(ShapeError, match=r"An axis of 4 is too short .*accepted: 5 or more"):
            Window(4, padding=1, dilation=2).output_size(4)
        assert Window(4, padding=1, dilation=2).output_size(5) == 1

    def test_no_window(self) -> None:
        with pytest.raises(ConfigError, match="is no window"):
            Window(3, stride=0)

    def test_numbers_per_axis(self) -> None:
        with pytest.raises(ConfigError, match=r"kernel_size=\(3, 3\) does not fit ndim=3"):
            per_axis((3, 3), 3, "kernel_size")
        with pytest.raises(ConfigError, match="ndim=0"):
            per_axis(3, 0, "kernel_size")

    @pytest.mark.parametrize("ceil_mode", [False, True])
    def test_size_equals_torch_over_a_grid(self, ceil_mode: bool) -> None:
        for size in range(1, 14):
            for kernel in range(1, 6):
                for stride in range(1, 5):
                    for padding in range(kernel // 2 + 1):
                        if size + 2 * padding < kernel:
                            continue
                        window = Window(kernel, stride, padding, ceil_mode=ceil_mode)
                        pooled = torch.nn.functional.max_pool1d(
                            torch.zeros(1, 1, size), kernel, stride, padding, ceil_mode=ceil_mode
                        )
                        assert window.output_size(size) == pooled.shape[2]


class TestMessages:
    def test_locally_connected_has_a_fixed_size(self) -> None:
        layer = layers.LocallyConnected(3, 4, 3, (8, 9))
        with pytest.raises(ShapeError, match=r"images of \(8, 9\); what came has \(9, 8\)"):
            layer(torch.zeros(1, 3, 9, 8))
        with pytest.raises(ShapeError, match="does not have 2 axes"):
            layers.LocallyConnected(3, 4, 3, (8, 9, 10))

    def test_maxout(self) -> None:
        with pytest.raises(ShapeError, match="multiple of 3 channels; what came has 4"):
            layers.Maxout(3)(torch.zeros(2, 4))
        with pytest.raises(ConfigError, match="pieces=0"):
            layers.Maxout(0)

    def test_contrast(self) -> None:
        with pytest.raises(ConfigError, match="size=4: a neighbourhood has a centre"):
            layers.LocalContrastNorm(4)
        with pytest.raises(ConfigError, match="window='round' is unknown"):
            layers.LocalContrastNorm(5, window="round")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"epsilon=0\.0 must be above 0"):
            layers.LocalContrastNorm(5, epsilon=0.0)
        with pytest.raises(ConfigError, match="size=0 must be 1 or more"):
            layers.LocalResponseNorm(0)

    def test_pools(self) -> None:
        with pytest.raises(ConfigError, match="padding=2 is more than half of kernel_size=3"):
            layers.L2Pool(3, padding=2)
        with pytest.raises(ShapeError, match=r"L2FeaturePool\(5\) cannot pool 4"):
            layers.L2FeaturePool(5)(torch.zeros(1, 4, 2))
        with pytest.raises(ConfigError, match="size=0"):
            layers.L2FeaturePool(0)

    @pytest.mark.parametrize("make", [layers.Dropout, layers.StochasticDepth])
    def test_probability(self, make: type) -> None:
        with pytest.raises(ConfigError, match=r"p=1\.5 is no probability"):
            make(1.5)

    def test_recurrent(self) -> None:
        cell = layers.GRUCell(5, 7)
        with pytest.raises(ShapeError, match=r"one time step, \(B, 5\); .* `unroll`"):
            cell(torch.zeros(3, 2, 5))
        with pytest.raises(ShapeError, match="at least one step"):
            layers.unroll(cell, torch.zeros(0, 2, 5))

    def test_activation_of_another_name(self) -> None:
        with pytest.raises(ConfigError, match="Did you mean 'sigmoid'"):
            layers.activation("sigmoidd")
        with pytest.raises(ConfigError, match="has no argument 'slope'"):
            layers.activation("relu", slope=0.1)
