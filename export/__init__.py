"""From a checkpoint to proved artifacts: bake, lower, prove."""
