"""Containers: what the worker asks of an engine (driver), and how Docker is asked for it (docker, attach)."""
