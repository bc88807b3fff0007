"""Experiments: datasets x rankers x seeds, resumable, in processes of one core each, with a report."""
