"""Start the app as a user would, with a given detector folder as the embedded default: serve.py PORT
FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    port, folder = sys.argv[1:3]
    sys.path.insert(0, str(ROOT))
    if folder != "-":
        import models.registry

        models.registry.DEFAULT_MODEL = folder
    from streamlit.web import cli

    sys.argv = ["streamlit", "run", str(ROOT / "app.py"), "--server.port", port, "--server.headless", "true"]
    cli.main()


if __name__ == "__main__":
    main()
