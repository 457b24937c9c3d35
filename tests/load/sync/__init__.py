"""Hot sync calls: a whole Millrace beside a bare client on containers of the same kind."""
