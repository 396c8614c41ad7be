"""Saving and loading of stages and heads as safetensors files, with validation of what is loaded."""
