"""Which checkpoints have names, in `names`; the folders beside it are the checkpoints in the package."""
