"""Every registered network trains on real images from the api, by its name alone."""

import pytest

from striate import api
from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.training.events import read_events
from striate.training.fitting import outputs_of

SMALL = {
    # The smallest form of each network that has several.
    "densenet": ("network.depth=22", "network.growth=8", "network.bottleneck=false"),
    "resnet": ("network.depth=8",),
    "vgg": ("network.depth=11", "network.hidden=64"),
    "alexnet": ("network.hidden=64",),
    "alexnet_owt": ("network.hidden=64",),
}
CLASSIFIERS = [name for name in NETWORKS if outputs_of(name) == "scores"]


LIGHT = ("linear", "mlp", "lenet5", "resnet", "airbench")


@pytest.mark.parametrize(
    "name", [n if n in LIGHT else pytest.param(n, marks=pytest.mark.slow) for n in CLASSIFIERS]
)
def test_trains_on_digits_by_name(name, tmp_path):
    settings = (
        "training.batch_size=4",
        "training.validations=1",
        "execution.threads=1",
        "data.validation_fraction=0.02",
    )
    run = api.train(
        "digits",
        network=name,
        steps=2,
        out=tmp_path / "run",
        assignments=(*settings, *SMALL.get(name, ())),
    )
    steps = [e for e in read_events(run.folder.events) if e["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 2]
    assert all(event["gradient_norm"] > 0 for event in steps)
    assert run.validation.n > 20


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(CLASSIFIERS)))
def test_a_network_that_answers_per_pixel_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="scores for each pixel"):
        api.train("digits", network=name, steps=2, out=tmp_path / "run")
