"""Out of Python: `graphs` of the model, written by `onnx_files` in the `layouts` of other tools, checked, and run again."""
