"""`python -m dre` is `dre`."""

from dre.cli import main

if __name__ == "__main__":
    main()
