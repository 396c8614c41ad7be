"""Grad-CAM heatmaps of a head's outputs, and decompositions of an SVM's map over components and support vectors."""

from pcacam_jax.cam.heatmap import normalise, resize, shared_maximum

__all__ = ["normalise", "resize", "shared_maximum"]
