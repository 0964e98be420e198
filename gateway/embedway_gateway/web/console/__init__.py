"""The page at `/`: what the gateway serves, how it is, and a place to try it."""
