"""Deterministic Temporal workflows: thin shells around the domain."""
