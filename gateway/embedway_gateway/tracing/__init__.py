"""What becomes of a request, as OpenTelemetry traces; imported only where they are made."""
