"""What the image encoder makes: `encoding`; to be kept: `image_embedding`, then `fingerprints` and `cache`."""
