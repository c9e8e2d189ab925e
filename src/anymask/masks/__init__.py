"""Mask arithmetic: `measures`, `overlaps`, `sparse_upsampling` on `sparse_axis`; `rle`, `polygons`, `label_maps`."""
