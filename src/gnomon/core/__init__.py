"""The kernel: what a value means, how it is kept, which of two wins; pure functions over bytes and arrays."""
