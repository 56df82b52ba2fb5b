"""`python -m service`: the service by itself."""

import sys
from collections.abc import Sequence

from pydantic import ValidationError

from service.app import create
from service.keys import NoKeys, refuse_open
from service.server import Server
from service.settings import ServiceSettings
from workers.logs import set_up

REFUSED = 2


def main(words: Sequence[str] = ()) -> int:
    """Runs until a signal; refuses to start with a reason in one line."""
    if words:
        sys.stderr.write(
            f"python -m service takes no arguments, but got {' '.join(words)!r}: set MATPROP_PORT, MATPROP_STATE "
            "and the like, or use `matprop up`\n"
        )
        return REFUSED
    try:
        settings = ServiceSettings()
        set_up(settings.log_level, as_json=settings.log_json)
        refuse_open(settings)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            name = "MATPROP_" + "_".join(str(part) for part in one["loc"]).upper()
            sys.stderr.write(f"{name}: {one['msg']}\n")
        return REFUSED
    except NoKeys as error:
        sys.stderr.write(f"matprop does not start: {error}\n")
        return REFUSED
    server = Server(create(settings), settings)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
