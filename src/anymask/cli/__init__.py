"""The command `anymask`: options in `main.py`, the work in `segment.py` and `convert.py`, photos from `files.py`."""
