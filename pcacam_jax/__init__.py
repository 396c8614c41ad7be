"""Where a CNN looked for each principal component and each SVM decision, from closed-form Jacobians."""

__version__ = "0.1.0"
