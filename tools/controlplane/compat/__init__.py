"""The API server and controller manager of other versions of Kubernetes, from their Go modules."""
