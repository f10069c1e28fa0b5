"""Links distributions and what they require into a folder: python tools/link_requirements.py FOLDER NAME...

The folder then has these distributions of the running environment and no other.
"""

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Dict, List


def requirements(names: List[str]) -> Dict[str, metadata.Distribution]:
    """The distributions and all that they require without extras, by name; what is not installed is left out."""
    found: Dict[str, metadata.Distribution] = {}
    left = list(names)
    while left:
        name = left.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name in names:
                raise
            continue
        for line in found[key].requires or []:
            if "extra ==" not in line:
                left.append(re.match(r"[\w.-]+", line)[0])
    return found


def main(folder: Path, names: List[str]) -> None:
    for distribution in requirements(names).values():
        tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (folder / top).exists():
                (folder / top).symlink_to(source.resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
