"""Load tests: what the parts of Millrace do under load, measured on this machine."""
