"""Images larger than memory: `grid`, `sources`, then `pieces` of objects, `stitch`, `generator` and `outputs`."""
