"""The worker: reserves calls, runs each in a container, records how it ended. The only process that touches Docker."""
