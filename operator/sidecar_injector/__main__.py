"""`python -m sidecar_injector` runs the command `sidecar-injector`."""

from sidecar_injector.cli import main

if __name__ == "__main__":
    main.main()
