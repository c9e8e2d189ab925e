"""Room of synthetic scenes: drawn photographs with the exact mask of every object, to train on and to score with.

Nothing in the core imports this package. Start at `anymask.data.synthetic.scenes`. Needs the extra `anymask[train]`.
"""
