"""Inspection: what a network looks like from inside, in numbers and in pictures."""
