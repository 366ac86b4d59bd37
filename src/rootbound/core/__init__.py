"""What everything stands on: errors, settings, files, devices, memory, processes, user's code."""
