"""The rankers that SEMINAR is compared with, on the same tables, features, heads and losses (docs/rivals.md)."""
