"""Heatmaps as arrays: one file per family of methods, each for one example and any number of targets."""

from pcacam_jax.cam.heatmap import normalise, resize, shared_maximum

__all__ = ["normalise", "resize", "shared_maximum"]
