"""A cluster under load, faults done to it, and a check of everything that was seen: nothing lost, nothing doubled."""
