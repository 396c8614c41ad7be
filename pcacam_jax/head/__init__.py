"""The hybrid head: its targets, its batches, the layouts of other frameworks, and its comparison with a network."""
