"""Volumes, slice by slice: `volume` and its `files`, then `propagate` from seeds, and `everything` in all slices."""
