"""Other tools ask the model: each file is one tool's contract. label_studio and samapi are served, cvat is called."""
