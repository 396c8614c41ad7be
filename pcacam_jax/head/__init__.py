"""The hybrid head, its targets and batches, conversion from other frameworks, and comparison with a network."""
