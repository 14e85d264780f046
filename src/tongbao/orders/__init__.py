"""What is bought: items, the amount due, and the order's state, which follows what it is told of payments."""
