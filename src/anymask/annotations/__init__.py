"""Masks as files of other tools, written and read: one module per format, what they share in `annotated_image.py`."""
