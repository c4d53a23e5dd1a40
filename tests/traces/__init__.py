"""Real journeys: a bank's loan applications, told as deals that move through a pipeline."""
