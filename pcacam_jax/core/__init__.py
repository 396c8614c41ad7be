"""What every other package builds on: types, numerics, checks, text, files, progress."""
