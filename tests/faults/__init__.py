"""Failures of a night's run, caused on purpose: kills, full disks, attacks that hang.

Each module does one kind of harm to a small run and says what is left. The tests here are the
short form; `make torture` does the same many times.
"""
