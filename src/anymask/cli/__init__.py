"""The command `anymask`: commands in `main.py`, their options in `options.py`, the work beside it and in `commands`."""
