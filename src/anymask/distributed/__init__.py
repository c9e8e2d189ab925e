"""Folders of millions: `inputs` in `shards`, a `worker` from images to rows, `outputs`, a `job`, and `generate`."""
