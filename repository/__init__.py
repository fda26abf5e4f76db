"""What this repository should be on GitHub, and the gates that its pipelines pass."""
