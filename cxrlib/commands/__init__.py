"""What `cxr` can do, by what it is about. Everything heavy is imported inside the command that needs it."""

from cxrlib.commands import films, publishing, reading, work

__all__ = ["films", "publishing", "reading", "work"]
