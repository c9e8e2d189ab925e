"""Evaluation room: how well clicks and boxes find known masks, for a model and for classical segmentation.

Nothing in the core imports this package. Start at `anymask.evaluation.evaluate`; run it with
`python -m anymask.evaluation.evaluate --help`. Needs the extra `anymask[train]`.
"""
