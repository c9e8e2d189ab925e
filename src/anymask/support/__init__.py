"""What every room may lean on: `unknown_names` and `values` for errors, `atomic_files`, `chunks`, `threads`."""
