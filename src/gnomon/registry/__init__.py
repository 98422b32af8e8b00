"""Registries, one per module; importing one imports no other."""
