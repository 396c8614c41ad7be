"""Reproduction of the paper: fit its six datasets, measure its claims, and write the results to one page."""
