"""How `sam-vit-nano` is made, a recipe of this package's trainer: `train`, then `blend`, then `calibrate`.

Read `model`, `scenes` and `photographs` for what learns from what; `schedule`, `optimizer` and `callbacks` for how.
"""
