"""Print what nhd and some of its extras need, one requirement a line: requirements.py s3,words.

Such a file changes less often than pyproject.toml, and so does the image's layer made of it.
"""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = [
    need for name in sys.argv[1].split(",") for need in project["optional-dependencies"][name]
]
print(*sorted({*project["dependencies"], *extras}), sep="\n")
