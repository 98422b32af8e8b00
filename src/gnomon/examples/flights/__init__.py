"""A year of flights out of New York, where a row is known hours after the instant it describes."""
