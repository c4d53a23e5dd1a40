"""The operations of the API, one small file for each part of it."""
