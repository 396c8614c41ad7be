"""Verification of the closed forms against autodiff and central differences."""
