"""Scores of sam-vit-nano beside classical segmentation: read `examples`, `predict`, `evaluate`, `photographs`."""
