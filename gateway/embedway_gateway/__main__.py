"""`python -m embedway_gateway` is the command `embedway`."""

from embedway_gateway.cli import main

main()
