"""What the names of Stanford Cars' classes say: make, body type and year.

A name is `make model type year`, as in `AM General Hummer SUV 2000`. A few have no type
(`Acura TL Type-S 2008`); pickups are named by their cabs.
"""

from pipelines.errors import UsageError

LONG_MAKES = ("AM General", "Aston Martin", "Land Rover")
BODIES = {
    "convertible": "convertible",
    "coupe": "coupe",
    "sedan": "sedan",
    "hatchback": "hatchback",
    "wagon": "wagon",
    "suv": "suv",
    "minivan": "minivan",
    "van": "van",
    "cab": "pickup",
    "supercab": "pickup",
}
"""A word of the name → the type."""
TYPES = tuple(dict.fromkeys(BODIES.values()))


def parts(name: str) -> tuple[str, str | None, int]:
    """Make, type (None where the name has none) and year.

    The type is the last word of the name that is one: a `Cargo Van Minivan` is a minivan. Raises
    UsageError for a name that does not end with a year.
    """
    *words, year = name.split()
    if not (words and len(year) == 4 and year.isdigit()):
        raise UsageError(f"the class '{name}' of cars_meta.mat does not end with a year")
    make = next((m for m in LONG_MAKES if name.startswith(m + " ")), words[0])
    bodies = [BODIES[word.lower()] for word in words if word.lower() in BODIES]
    return make, bodies[-1] if bodies else None, int(year)
