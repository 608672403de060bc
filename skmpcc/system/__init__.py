"""The machine: devices, processes, files, versions."""
