"""From transformed examples to trained weights: request windows, negatives, checkpoints, early stopping."""
