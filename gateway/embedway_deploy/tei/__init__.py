"""text-embeddings-inference in a container of one's own on OCI Data Science."""
