"""``python -m tremula``."""

from tremula.cli import main

main()
