"""`asyncnet --version`."""


def print_version() -> None:
    """The version of the installed package, as one line on stdout."""
    from importlib.metadata import version  # heavy

    print(f"asyncnet {version('asyncnet')}")
