"""Training room: the samples, the losses, the simulated prompts and the loop that makes `sam-vit-nano`.

Nothing in the core imports this package. Start at `anymask.training.train`; run it with
`python -m anymask.training.train --help`. Scenes come from `anymask.data.synthetic`. Needs the extra `anymask[train]`.
"""
