"""SAP AI Core: its management API, and the steps of a plan for it."""
