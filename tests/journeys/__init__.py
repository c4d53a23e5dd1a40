"""Journeys through real PostgreSQL and real Temporal."""
