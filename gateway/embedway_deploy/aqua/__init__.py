"""AI Quick Actions (AQUA) of OCI Data Science: what it registers and deploys, made the same way."""
