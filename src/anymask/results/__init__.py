"""What was found: `results`, drawn by `overlay`, written and read by `formats`."""
