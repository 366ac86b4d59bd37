"""What everything stands on: errors, files, devices, memory, processes, the user's own code."""
