"""Pieces that several methods share: distances between distributions, simulated attackers."""
