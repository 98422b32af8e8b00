"""Feature repositories to run, read and copy."""
