"""Tier F: weights are trained, all of them or some."""
