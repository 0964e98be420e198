"""`python -m embedway_gateway` is the command `embedway`."""

from embedway_gateway.cli import main

# A worker process imports this module again, and must not become a second gateway.
if __name__ == "__main__":
    main()
