"""From the words of a command line to a typed, checked job."""
