"""Threads and precision hold inside a block and nowhere else."""

import pytest
import torch

from striate.config import ExecutionConfig
from striate.errors import ConfigError
from striate.execution import Execution


@pytest.mark.parametrize(("precision", "kind"), [("float32", "ieee"), ("tf32", "tf32")])
def test_float32_is_not_rounded_on_gpus_unless_that_was_asked_for(precision, kind):
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [one.fp32_precision for one in kinds]
    with Execution(torch.device("cuda"), True, precision).arithmetic():
        assert [one.fp32_precision for one in kinds] == [kind, kind]
    assert [one.fp32_precision for one in kinds] == before


def test_threads_hold_inside_the_block():
    before = torch.get_num_threads()
    execution = Execution(torch.device("cpu"), True, "float32", threads=before + 1)
    with execution.arithmetic():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_of_a_larger_machine_are_left_out():
    found = Execution.recorded(ExecutionConfig(device="cpu"), {"threads": 4096})
    assert found.threads == torch.get_num_threads()


def test_threads_that_a_person_asked_for_stay():
    config = ExecutionConfig(device="cpu", threads=3 * torch.get_num_threads())
    for record in (None, {"threads": 1}, {"threads": 4096}, {"threads": config.threads}):
        assert Execution.recorded(config, record).threads == config.threads


@pytest.mark.parametrize(("device", "precision"), [("cpu", "float32"), ("cuda", "tf32")])
def test_tf32_is_what_gpus_have(device, precision, monkeypatch):
    monkeypatch.setattr("striate.execution.device._device", torch.device)
    config = ExecutionConfig(device=device, precision="tf32")
    assert Execution.of(config).precision == precision
    assert Execution.recorded(config, {"precision": "tf32"}).precision == precision
    assert (
        Execution.of(ExecutionConfig(device=device, precision="bfloat16")).precision == "bfloat16"
    )


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match="is not a device"):
        Execution.of(ExecutionConfig(device="abacus"))


def test_auto_is_float32_until_something_was_measured():
    assert Execution.of(ExecutionConfig(device="cpu", precision="auto")).precision == "float32"
    assert Execution.of(ExecutionConfig(device="cpu")).is_plain
