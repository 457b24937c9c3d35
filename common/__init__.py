"""The contract that api and worker share: models, errors, settings, the queue, the store, telemetry.

A module belongs here only when both processes need it. Nothing here knows of HTTP, of Docker, or of
either process; imports flow one way: queue | store > telemetry > settings > models > errors.
"""
