"""Draw the picture of the README again: the playground of chapter 05, as a reader sees it.

make picture                      # or: python tools/picture.py [FILE.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

from sema_lite.widgets import LandscapePlayground

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "notebooks" / "images" / "playground.png"
SETTINGS = {
    "landscape": "bowl",
    "method": "sema",
    "lr": 0.09,
    "noise": 2.0,
    "decay": 0.9,
    "switch_every": 20,
    "steps": 100,
    "seed": 1,
}


def main() -> None:
    """Write the picture to the file that is named, or to where the README shows it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(LandscapePlayground(**SETTINGS).png)
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
