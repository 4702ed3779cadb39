"""``python -I -m runner``: the console script without installing it."""

from runner.cli import main

if __name__ == "__main__":
    main()
