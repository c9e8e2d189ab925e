"""What stands in a file: read `files`, `containers`, `key_map`, `architecture`; `other_models` knows relatives."""
