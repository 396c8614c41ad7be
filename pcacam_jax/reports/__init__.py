"""Figures and statements about a fitted run."""
