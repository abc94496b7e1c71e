"""The command line: words become a call of the api, its result becomes text. No logic here."""

import atexit
import contextlib
import errno
import io
import os
import shlex
import sys
from typing import Annotated

import typer

from striate import __version__
from striate.cli import (
    cache,
    evidence,
    gradients,
    inspection,
    listing,
    optimisation,
    prediction,
    profile,
    seeing,
    training,
)
from striate.errors import StorageError, StriateError

__all__ = ["app", "command", "main"]

app = typer.Typer(
    name="striate",
    help="Deep learning for images that people can see through.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_TRAIN, _INSIDE, _SEE = "Train and predict", "See inside", "Open the mathematics"
_TRUST = "Trust a number"
_COMMANDS = {
    _TRAIN: (
        inspection.inspect,
        training.train,
        training.resume,
        prediction.evaluate,
        prediction.predict,
        profile.profile,
        listing.list_,
    ),
    _TRUST: (
        training.cv,
        training.search,
        evidence.compare,
        evidence.calibrate,
        evidence.ledger,
        evidence.measure,
    ),
    _INSIDE: (seeing.table, seeing.see, seeing.why),
    _SEE: (
        gradients.check,
        gradients.graph,
        gradients.jacobian,
        gradients.bptt,
        optimisation.race,
        optimisation.rate,
        optimisation.variance,
    ),
}
for panel, functions in _COMMANDS.items():
    for function in functions:
        app.command(name=function.__name__.rstrip("_"), rich_help_panel=panel)(function)

_OUT_OF_MEMORY = (
    "Memory ran out. Close other programs or raise the limit (ulimit -v); for a training, make "
    "smaller: --set training.batch_size=16 (the same batch in parts: training.micro_batch=4), the "
    "size of the images or the network; else name fewer images at once."
)

_cache = typer.Typer(no_args_is_help=True, help="Show or clear the decoded images on the disk.")
_cache.command(name="list")(cache.list_)
_cache.command(name="clear")(cache.clear)
app.add_typer(_cache, name="cache", rich_help_panel=_TRAIN)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"striate {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    task_file: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Python file with a task of yours, for its runs."),
    ] = None,
) -> None:
    """Deep learning for images that people can see through."""
    for file in task_file or ():
        from striate.api.request import task_named

        task_named(file)


def main() -> None:
    """The command `striate`: errors that a person can correct are shown without a traceback."""
    # Threads that wait for each other by spinning for long slow down tenfold when anything else
    # runs on the machine, threads that sleep at once wake late: they spin for some ten
    # microseconds first (benchmarks/waiting.py). To be set before torch starts them.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for stream in (sys.stdout, sys.stderr):
        # Letters that the terminal's encoding lacks are escaped: a name never ends a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, so that a result that cannot be written is reported below
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before the training began; nothing was saved.\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except UnicodeEncodeError as error:
        if error.encoding.startswith("utf"):
            raise
        # What people read is escaped; names of files cannot be.
        lacks = f"The encoding of names of files ({error.encoding}) lacks letters of a name."
        _print_error(StorageError(lacks, "Set LC_ALL=C.UTF-8"))
        sys.exit(2)
    except (StriateError, OSError) as error:
        _print_error(error)
        sys.exit(2)
    except (MemoryError, RuntimeError, ImportError) as error:
        if not _lacks_memory(error):
            raise
        # No import, which may need more than is left.
        after = " ".join(getattr(error, "__notes__", []))
        sys.stderr.write(f"Error {' '.join([_OUT_OF_MEMORY, after]).rstrip()}\n")
        sys.exit(2)


def _lacks_memory(error: Exception) -> bool:
    """Whether memory did not suffice, for the work or for the libraries that it needs."""
    if isinstance(error, MemoryError) or "failed to map segment" in str(error):
        return True
    torch_memory = sys.modules.get("striate.execution.memory")
    return torch_memory is not None and bool(torch_memory.lacks_memory(error))


def _print_error(error: StriateError | OSError) -> None:
    """An error in words, and with one of the system the command to repeat."""
    from striate import durable
    from striate.terminal import print_error

    if isinstance(error, OSError) and not isinstance(error, StriateError):
        error = durable.explained(error)
    again = f"repeat: {shlex.join(['striate', *sys.argv[1:]])}"
    if isinstance(error, StorageError):
        error.then = error.then or again
    elif getattr(error.__cause__, "errno", None) not in (None, errno.ENOENT):
        # Of the system too, in words of its own.
        error = StriateError(f"{error} Then {again}.")
    with contextlib.suppress(OSError):  # standard error may lie on the same disk
        print_error(error)


def command() -> None:
    """`main`, and the end of the process.

    Taking down an interpreter that holds torch lasts a second, for memory that the system frees
    at once: what was registered for the end is done, and that is all.
    """
    code: str | int | None = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        sys.exit(code)  # words for standard error: the interpreter's own way
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code or 0)
