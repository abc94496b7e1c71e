"""The events of a run as TensorBoard files."""

import logging
from pathlib import Path

from striate.errors import ConfigError
from striate.training.events import Event


class TensorBoard:
    """Writes steps and validations as scalars.

    Args:
        folder: Folder of the event files.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "training.tensorboard=true needs TensorBoard; install it with: "
                "pip install 'striate[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def event(self, event: Event) -> None:
        """Write the numbers of an event at its step."""
        kind = event["event"]
        if kind in ("step", "validation"):
            for name, value in event.items():
                if name not in ("event", "step", "of") and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{kind}/{name}", value, event["step"])
        elif kind in ("finished", "stopped"):
            self._writer.close()
