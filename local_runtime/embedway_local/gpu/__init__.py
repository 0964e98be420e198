"""Runs models on CUDA cards, and finds out why it cannot."""
