"""What a question means, worked out before any back-end is asked."""
