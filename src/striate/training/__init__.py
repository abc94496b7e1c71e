"""From a resolved configuration to trained weights: the plan, the loop, checkpoints, events."""
