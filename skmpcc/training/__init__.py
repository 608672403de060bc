"""Training of a model on data: batches, the loop, its health, initializations."""
