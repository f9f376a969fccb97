"""`python -m asyncnet` is the `asyncnet` command."""

from asyncnet.cli.main import main

if __name__ == "__main__":
    main()
