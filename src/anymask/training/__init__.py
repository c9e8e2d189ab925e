"""Training room: the losses, the simulated prompts, the drawn scenes and the loop that makes `sam-vit-nano`.

Nothing in the core imports this package. Start at `anymask.training.train`; run it with
`python -m anymask.training.train --help`. Needs the extra `anymask[train]`.
"""
