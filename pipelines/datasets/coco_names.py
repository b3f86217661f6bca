"""The names of COCO-Stuff's labels, in the order of labels.txt of nightrome/cocostuff."""

_TEXT = """\
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie,
suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana,
apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted
plant, bed, mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, blender, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush, hair brush, banner, blanket, branch, bridge,
building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth,
clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble,
floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-
other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss,
mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform,
playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-
other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent,
textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-
stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""

LABELS = tuple(name.strip() for name in _TEXT.replace("\n", " ").split(","))
"""Ids 1 to 182; a pixel map holds the id less one."""

WITHOUT_MASKS = (
    "street sign", "hat", "shoe", "eye glasses", "plate", "mirror",
    "window", "desk", "door", "blender", "hair brush",
)  # fmt: skip
"""Things of COCO for which nobody drew masks."""

AS_SAID = {
    "ceiling-tile": "ceiling tile",
    "window-blind": "window blind",
    "playingfield": "playing field",
    "waterdrops": "water drops",
    "structural-other": "structure",
}


def prompt(name: str) -> str:
    """A name as one would say it: `wall-brick` is a brick wall, `water-other` just water."""
    thing, dash, kind = name.partition("-")
    plain = thing if not dash or kind in ("other", "stuff") else f"{kind} {thing}"
    return AS_SAID.get(name, plain)
