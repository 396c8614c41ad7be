"""Run folders: fit a dataset into one, load it and explain image files with it."""
