"""The command's root: its help, its version, and what becomes of failures."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from typing import Annotated

import typer

from faultline import __version__

app = typer.Typer(
    name="faultline",
    help="Visual inspection that can be trusted: find, outline and measure defects.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
list_app = typer.Typer(no_args_is_help=True, help="List what is registered, plugins included.")


def main() -> None:
    """Entry point: every expected failure becomes one line and a non-zero exit code."""
    from faultline.errors import ConfigError, FaultlineError

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may lack signs, and a file name be no text: shown escaped, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(sys.argv[1:])
        app()
    except FaultlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has gone: not our failure
        sys.stderr.close()
        sys.exit(0)


def _refuse_empty(arguments: list[str]) -> None:
    """An empty value is a slip, such as an unset shell variable; as a path it means this folder.

    Raises:
        ConfigError: An option has one.
    """
    from faultline.errors import ConfigError

    options = [one.removesuffix("=") for one in arguments if one[:2] == "--" and one[-1:] == "="]
    pairs = pairwise(arguments)
    options += [option for option, value in pairs if option[:2] == "--" and not value.strip()]
    if options:
        raise ConfigError(
            f"{', '.join(options)} is empty", remedy="give it a value, or leave it out"
        )


def _show_version(value: bool) -> None:
    if value:
        print(f"faultline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    pass
