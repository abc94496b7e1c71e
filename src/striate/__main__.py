"""`python -m striate` is the command `striate`."""

from striate.cli import command

command()
