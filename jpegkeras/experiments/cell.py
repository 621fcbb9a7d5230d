"""One cell in a process of its own: trains, evaluates, and leaves its result.

    python -m jpegkeras.experiments.cell SPEC.json

The studies start it, so that a crash, a lack of memory or a loss that diverges ends this cell
alone. Ends with status 0, with 143 after a SIGTERM, when everything is saved, and else with 1 and
the reason on the last line. When its standard input ends, so has whoever started it, and it stops
as after a SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence

from jpegkeras.errors import InputError
from jpegkeras.experiments.cell_files import load_spec, save_result
from jpegkeras.preemption import PreemptedError
from jpegkeras.quiet import quiet_tensorflow

# So long may it take to save.
_GRACE_SECONDS = 120.0
STOPPED = 143


def main(argv: Sequence[str]) -> int:
    """Does the task that the file `argv[0]` holds; returns the process's exit status."""
    end_with_parent()
    try:
        spec = load_spec(argv[0])
        with quiet_tensorflow():
            from jpegkeras.experiments import cell_steps
        save_result(spec, cell_steps.run(spec))
    except PreemptedError as error:
        print(error)
        return STOPPED
    except (InputError, OSError) as error:
        print(f"error: {error}")
        return 1
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        print(f"error: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return 1
    return 0


def end_with_parent() -> None:
    """Makes this process stop, as after a SIGTERM, when its standard input ends."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1 << 10):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
