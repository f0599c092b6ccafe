"""`python -m codegen`."""

from codegen.commands.cli import main

main(prog_name="rnn-codegen")
