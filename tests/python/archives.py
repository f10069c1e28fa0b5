"""Files of models with entries changed, left out or added."""

import io
import zipfile


def edited(source, target, change, added=()):
    """Writes a file again with entries that `change(name, content)` gives; None leaves one out. Returns `target`."""
    content = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            changed = change(entry.filename, old.read(entry))
            if changed is not None:
                new.writestr(zipfile.ZipInfo(entry.filename), changed)
        root = old.namelist()[0].split("/")[0]
        for name, text in added:
            new.writestr(zipfile.ZipInfo(f"{root}/{name}"), text)
    target.write_bytes(content.getvalue())
    return target
