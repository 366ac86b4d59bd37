"""Tier P: the network is frozen, and a classifier is fitted to its outputs at some block."""
