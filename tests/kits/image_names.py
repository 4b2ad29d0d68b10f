"""Names of images by the pull policy that the API server gives to them."""

_SHA = "a" * 64

ALWAYS = (
    "app",
    "app:latest",
    "example/app",
    "registry.example.com/app",
    "registry:5000/app",
    "localhost/app",
    "Registry/app",
    "[::1]:5000/app",
    "a__b/c--d",
    f"app:latest@sha256:{_SHA}",
)
IF_NOT_PRESENT = (
    "app:1",
    "registry:5000/app:1",
    f"app@sha256:{_SHA}",
    f"app:1@sha256:{_SHA}",
    # Not well-formed.
    "App",
    "example/App:latest",
    "app:latest@sha256:0",
    "app:",
    "app@",
    "a___b",
    "-app",
    "app/",
    "registry:/app",
    "$(IMAGE)",
    _SHA,
)
