"""What gnomon asks of a back-end: small protocols, promises in their docstrings, no logic."""
