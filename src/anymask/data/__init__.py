"""Data to train and evaluate on: `synthetic` scenes; `photographs` from tars, and `collages` of them."""
