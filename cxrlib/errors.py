"""The one error that a user is meant to read."""


class InputError(ValueError):
    """Something outside the program is not as it should be: a study file, a folder, an image, a disk.

    The message says what was found, what was expected, where, and what to do. The command line prints it without a
    traceback and ends with exit code 2.
    """
