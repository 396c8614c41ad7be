"""Stages and heads as safetensors files."""
