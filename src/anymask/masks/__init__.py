"""Mask arithmetic: `measures`, `sparse_upsampling` on `sparse_axis`; encodings `rle`, `polygons`, `label_maps`."""
