"""The command `anymask`: commands in `main.py`, their options in `options.py`, the work in a file per command."""
