"""Everything at once at many journeys, and every history replayed afterwards."""
