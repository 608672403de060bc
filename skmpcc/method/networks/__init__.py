"""Generator, discriminator and encoder, for images (the paper's) and for tables."""
