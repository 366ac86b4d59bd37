"""The basis of everything: errors, settings, files, devices, memory, processes, user's code."""
