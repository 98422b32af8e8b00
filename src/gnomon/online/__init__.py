"""Online stores: one file per back-end."""
