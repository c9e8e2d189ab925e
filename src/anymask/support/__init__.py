"""Small helpers without a room of their own: `unknown_names` for errors, `atomic_files`, `chunks` for memory."""
