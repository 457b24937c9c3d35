"""One module per noun of the URL table. A handler parses, calls one thing and answers; it decides nothing else."""
