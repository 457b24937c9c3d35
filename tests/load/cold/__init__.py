"""Cold sync calls: a container per call, through Millrace and by a bare client."""
