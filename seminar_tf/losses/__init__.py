"""Losses of pretraining and of ranking (spec sections 4 and 5)."""
