"""What the image encoder made, to be kept: `image_embedding`, then `fingerprints` and `cache`."""
