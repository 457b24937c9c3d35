"""Formats: how a call is handed to a container and how its answer comes back. One module per format."""
