"""Public Keras layers of the model, one a file, and the small functions they share."""
