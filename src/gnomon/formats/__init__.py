"""Formats: how the bytes of messages become columns. Importing this imports no driver."""
