"""`python -m codegen`."""

from codegen.commands.main import main

main(prog_name="rnn-codegen")
