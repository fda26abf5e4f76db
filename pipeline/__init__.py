"""What the workflows decide: with Python alone, as most of their jobs install nothing."""
