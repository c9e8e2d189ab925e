"""Mask arithmetic: `measures`, `sparse_upsampling` on `sparse_axis`; `rle` with `clean_up`; other forms."""
