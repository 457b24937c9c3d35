"""The MessageQueue: its contract (base.py, protocol.md) and its one implementation, on Redis (redis.py)."""
