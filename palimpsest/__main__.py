"""`python -m palimpsest` is the `palimpsest` command."""

from palimpsest.cli.main import main

if __name__ == "__main__":
    main()
