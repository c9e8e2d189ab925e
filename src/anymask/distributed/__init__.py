"""Folders of millions: `inputs` in `shards`, a `worker` from images to rows, `outputs`, and `generate` over all."""
