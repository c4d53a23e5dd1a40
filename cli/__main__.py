"""`python -m cli`: the `jalon` command where it is not installed."""

from cli.main import main

main()
