"""One file for each annotation format, listed in `registry`."""
