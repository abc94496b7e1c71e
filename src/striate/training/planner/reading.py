"""Whether images are decoded once into the cache, or each time they are needed."""

from dataclasses import replace

from striate.config import RunConfig
from striate.data import ImageSpec, Source
from striate.data.cache import why_streamed
from striate.settings import Settings
from striate.training.planner.draft import Choice

__all__ = ["decide_reading"]


def decide_reading(
    config: RunConfig, settings: Settings, source: Source, num_images: int
) -> tuple[RunConfig, list[Choice]]:
    """The configuration, streaming if the disk has no room for the decoded images.

    What is decided here stays with the run, so that it is resumed in the same way however much
    room there is by then.

    Args:
        config: resolved but for this.
        settings: what a person asked for; it always wins.
        source: of the images.
        num_images: in all splits.
    """
    data = config.data
    if "streaming" in settings.get("data", {}) or not source.random_access:
        return config, []
    reason = why_streamed(num_images, ImageSpec(data.input_size, data.channels, data.fit))
    if reason is None:
        return config, []
    streamed = replace(config, data=replace(data, streaming=True))
    return streamed, [Choice("reading", "streamed: each image is decoded when needed", reason)]
