"""Makes ``python -m distilrank`` the same as ``distilrank``."""

from distilrank.cli import main

if __name__ == "__main__":
    main()
