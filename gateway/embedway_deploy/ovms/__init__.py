"""OpenVINO Model Server in a container of one's own on OCI Data Science."""
