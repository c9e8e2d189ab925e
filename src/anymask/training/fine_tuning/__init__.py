"""A fine-tuning run, from a data set to a better checkpoint: read `options`, `run`, `trainer`, then `report`."""
