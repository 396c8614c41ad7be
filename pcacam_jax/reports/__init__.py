"""Figures of a fitted run, and statistics of its maps."""
