"""How Millrace reaches a machine: the two commands, the servers of one machine, the command line.

Starts the api and the worker as processes and speaks HTTP to them; never imports either.
"""
