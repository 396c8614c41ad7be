"""Infrastructure that every other package imports: types, numerics, checks, text, files and progress."""
