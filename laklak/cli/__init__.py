"""The command line: the only room that sets the exit status.

    program   what `laklak` is and which commands it has, in the order of its help
    entry     from arguments to an exit status: every error is a line
    options   what several commands take, and the settings that come of it
    grouped   a command whose help shows its options in groups
    work      how a command runs: with signals, a log, and words for how it ended

and a file for each command.  Heavy imports are made inside the commands, so that `laklak --help` answers at once.
"""

from laklak.cli.entry import run
from laklak.cli.program import app

__all__ = ["app", "run"]
