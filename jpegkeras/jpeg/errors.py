"""What can go wrong with a JPEG: corrupt data, and valid data this reader does not handle."""

from __future__ import annotations


class JpegError(ValueError):
    """A JPEG that cannot be read.

    Attributes:
        source: the file name, or "<bytes>" for data handed over in memory ("<bytes 7>" in a batch).
        offset: the byte offset in the file at which the problem was found.
    """

    def __init__(self, problem: str, source: str, offset: int):
        super().__init__(f"{source}, byte {offset}: {problem}")
        self.problem = problem
        self.source = source
        self.offset = offset

    def __reduce__(self):
        # The default would call the class with the finished message alone, so that the error
        # could not travel from a worker process to its parent.
        return type(self), (self.problem, self.source, self.offset)


class JpegFormatError(JpegError):
    """The data is not a well-formed JPEG: truncated, damaged or not a JPEG at all."""


class JpegUnsupportedError(JpegError):
    """The JPEG may be well-formed but uses a feature this reader does not handle.

    Attributes:
        feature: the feature, for example "arithmetic coding" or "CMYK (4 components)".
        advice: what to do about it.
    """

    def __init__(self, feature: str, advice: str, source: str, offset: int):
        super().__init__(f"{feature} is not supported; {advice}", source, offset)
        self.feature = feature
        self.advice = advice

    def __reduce__(self):
        return type(self), (self.feature, self.advice, self.source, self.offset)
