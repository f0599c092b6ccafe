"""The command line: loads a command when it is asked for, and turns errors into messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from codegen.errors import CodegenError, UsageError, visible, visible_lines
from codegen.version import __version__

# Each command with its line in --help, which then need not load the generator.
SUMMARIES = {
    "check": "Check that generated files are up to date with their models.",
    "compare": "Run two generated files of one model and compare their numbers.",
    "convert": "Convert MODEL to a source file.",
    "explain": "Print the equations of MODEL.",
    "inspect": "Show the layers, sizes and problems of MODEL.",
    "report": "Write an HTML page that shows MODEL and the errors of generated files.",
    "verify": "Run a generated file and compare its numbers with MODEL.",
}


class _Commands(click.Group):
    """Turns every error of ours into one message on standard error, and an exit status.

    2 where the command itself is wrong, else 1.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _one_message():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_message():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None where there is none of this name."""
        if cmd_name not in SUMMARIES:
            return None
        from codegen.commands.cli import COMMANDS

        return COMMANDS[cmd_name]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the names and summaries, without loading a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@contextmanager
def _one_message() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:  # click's own, which quotes what was typed
        error.message = visible_lines(error.message)  # type: ignore[misc]  # Final, but shown late
        raise
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    except CodegenError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise
    except (OSError, MemoryError, RecursionError) as error:
        raise click.ClickException(visible(error) or type(error).__name__) from error


EXAMPLES = """\b
Examples:
  rnn-codegen inspect model.keras
  rnn-codegen convert model.keras -o model.h
  rnn-codegen verify model.keras model.h
  rnn-codegen convert --help
"""


@click.group(
    cls=_Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="rnn-codegen")
def main() -> None:
    """Turn a trained recurrent network into one self-contained source file."""
