"""The two kinds that wait; the only ones the engine knows."""
