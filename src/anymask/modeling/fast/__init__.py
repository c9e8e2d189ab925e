"""The mask decoder with less work: read decoder.py first, then images.py, shared_image.py, upscaling.py.

`untouched.py` says when it may serve; `int8.py` is the image encoder in 8 bits and stands by itself.
"""
