"""Real processes, killed at chosen places: nothing is lost, nothing happens twice."""
