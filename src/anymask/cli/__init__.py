"""The command `anymask`: `main.py` has its options, `segment.py` does the work, `files.py` finds and writes files."""
