"""Out of Python: `graphs` of the model, as `onnx_files`, in the `layouts` of other tools; `runtime` runs them."""
