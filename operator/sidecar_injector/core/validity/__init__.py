"""What the API server requires of a pod, where an injection can break it; a module a subject."""
