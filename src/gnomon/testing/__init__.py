"""Tools for testing gnomon, and back-ends written for it: the oracle, and strategies that look for disagreement."""
