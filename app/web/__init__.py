"""The pages and the endpoints that operators ask."""
