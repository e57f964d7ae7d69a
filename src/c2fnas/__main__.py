"""`python -m c2fnas` is the command `c2fnas`."""

from c2fnas.cli import main

if __name__ == "__main__":
    main()
