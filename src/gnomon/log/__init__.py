"""The event log: where pushed events are stamped and kept. Importing this imports no back-end."""
