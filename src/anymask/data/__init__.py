"""Data to train and evaluate on: `synthetic` scenes."""
