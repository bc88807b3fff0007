"""The online ranking gateway: a user's history from a store, one Predict call, a ranked list. No TensorFlow."""
