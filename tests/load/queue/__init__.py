"""The queue's benchmark: Millrace's MessageQueue at several depths, and beside its peers in the same run."""
