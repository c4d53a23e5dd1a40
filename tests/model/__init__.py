"""The reference model, and the tests that hold the engine against it."""
