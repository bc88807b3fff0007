"""Errors about datasets, importable without pyarrow."""


class DatasetError(ValueError):
    """A dataset that cannot be read; the message names the file and column, and what was expected."""
