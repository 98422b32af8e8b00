"""Streams: where events come from by themselves. Importing this imports no back-end."""
