"""The basis of everything: errors, settings, files, devices, memory, processes, users' code."""
