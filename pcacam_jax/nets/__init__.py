"""Flax networks: the frozen VGG16 base, its published weights, and the trainable dense head."""
