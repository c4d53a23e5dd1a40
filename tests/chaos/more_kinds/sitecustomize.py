"""Gives a program under test the kinds of a folder: Python imports this by itself where it is on the path."""

import os

import activities.rules

activities.rules.__path__.append(os.environ["JALON_TEST_KINDS"])
