"""The paper in PyTorch: read `network`, `image_encoder`, `prompt_encoder`, `mask_decoder`, `two_way_transformer`."""
