"""Tests, named after sentences of the specification."""
