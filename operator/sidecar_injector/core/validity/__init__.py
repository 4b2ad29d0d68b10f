"""What the API server requires of a pod, as far as a merge can break it; one module a subject."""
