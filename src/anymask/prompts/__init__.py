"""What a user points at, brought to tensors: `short_forms`, `nested`, `mask_prompts`, then `tensors`."""
