"""One technology a room; none knows another."""
