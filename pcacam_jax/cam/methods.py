"""Every CAM method by name."""

from pcacam_jax.cam.gradcam import grad_cam

METHODS = {"gradcam": grad_cam}
"""Every method by name: (head, maps, selection, backend) -> positive, negative (T, h, w)."""
