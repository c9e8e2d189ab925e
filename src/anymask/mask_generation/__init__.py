"""Segment everything: `generator`, its `options`, `crop_encoder` and `filters`."""
