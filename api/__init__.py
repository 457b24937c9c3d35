"""The api process: accepts calls over HTTP, stores them, puts them on the queue, and shows what became of them.

A thin front end. It never touches Docker, runs no function, and keeps nothing of its own that a restart would lose.
"""

VERSION = "0.1.0"
