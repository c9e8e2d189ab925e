"""Data of every form that people have, as samples: a file per form; `files` finds which mask belongs to which image."""
