"""Run folders: made from a dataset, loaded, and used to explain image files."""
