"""A school as its secretary knows it, and its way into the engine's terms. Pure: nothing here reads or writes."""
