"""Figures: every function takes arrays and draws on the axes it is given; figures of many panels come back whole.

Nothing here touches pyplot, so the functions work without a display and no figure outlives its last reference.
"""

from pcacam_jax.plots.component_panels import Side, component_cards
from pcacam_jax.plots.curves import component_weights, contribution_ratios, influence_curve, learning_curve
from pcacam_jax.plots.evidence_panels import Witnesses, decision_evidence
from pcacam_jax.plots.feature_scatter import feature_space
from pcacam_jax.plots.heatmaps import colour_bar, image, overlay, overlay_pair, signed_overlay, unknown
from pcacam_jax.plots.panels import explanation_panel, paper_grid
from pcacam_jax.plots.png import save

__all__ = [
    "Side",
    "Witnesses",
    "colour_bar",
    "component_cards",
    "component_weights",
    "contribution_ratios",
    "decision_evidence",
    "explanation_panel",
    "feature_space",
    "image",
    "influence_curve",
    "learning_curve",
    "overlay",
    "overlay_pair",
    "paper_grid",
    "save",
    "signed_overlay",
    "unknown",
]
