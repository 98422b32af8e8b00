"""Tools for testing gnomon, back-ends and aggregations written for it: oracle, laws, strategies."""

from gnomon.testing.laws import BrokenLaw, check_aggregation

__all__ = ["BrokenLaw", "check_aggregation"]
