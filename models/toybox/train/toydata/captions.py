"""Templated English for scenes, the labels behind it, and the list of all words it can use."""

import random
import re

from . import motion as motion_module
from . import names

SIZE_WORDS = [["small", "small", "little", "tiny"], ["medium", "medium-sized", "mid-sized", "middling"],
              ["large", "large", "big", "huge"]]
COLOUR_WORDS = [["red", "red", "red", "scarlet"], ["orange"], ["yellow", "yellow", "yellow", "golden"], ["green"],
                ["blue"], ["purple", "purple", "violet"], ["pink", "pink", "pink", "rosy"],
                ["white", "white", "white", "snowy"]]
SHAPE_WORDS = [["ball", "ball", "circle", "disc"], ["box", "square", "block", "box"], ["triangle"], ["star"],
               ["heart"], ["ring", "ring", "donut", "hoop"], ["cross", "cross", "plus"],
               ["diamond", "diamond", "gem"]]
GROUND_WORDS = [["dark", "dark", "black"], ["grey", "gray"], ["blue"], ["green"], ["yellow"], ["brown"], ["red"],
                ["pink"], ["purple"], ["teal"], ["navy", "dark blue"]]
# Present tense, then the -ing form; the latter's single words may stand before the noun.
PRESENT = [
    ["stands still", "sits still", "rests", "does not move", "waits"],
    ["bounces", "bounces", "bounces up and down", "hops up and down", "hops", "jumps up and down"],
    ["slides", "slides", "slides from side to side", "slides back and forth", "glides from wall to wall",
     "moves left and right"],
    ["rises", "rises", "rises to the top", "floats up", "floats upwards", "goes up"],
    ["falls", "falls", "falls down", "drops", "drops to the ground", "falls to the ground"],
    ["orbits", "orbits", "circles around", "goes round in circles", "flies in a circle", "goes around"],
    ["spins", "spins", "spins around", "rotates", "turns around and around", "twirls"],
    ["grows", "grows", "grows bigger", "gets bigger", "swells", "inflates"],
    ["shrinks", "shrinks", "shrinks down", "gets smaller", "deflates"],
    ["blinks", "blinks", "blinks on and off", "flashes", "appears and disappears", "flickers on and off"],
]
PROGRESSIVE = [
    ["standing still", "sitting still", "resting", "waiting"],
    ["bouncing", "bouncing", "bouncing up and down", "hopping", "jumping up and down"],
    ["sliding", "sliding", "sliding from side to side", "gliding back and forth", "moving left and right"],
    ["rising", "rising", "rising to the top", "floating up", "going up"],
    ["falling", "falling", "falling down", "dropping", "dropping to the ground"],
    ["orbiting", "orbiting", "circling around", "going round in circles", "flying in a circle"],
    ["spinning", "spinning", "spinning around", "rotating", "twirling"],
    ["growing", "growing", "growing bigger", "getting bigger", "swelling", "inflating"],
    ["shrinking", "shrinking", "shrinking down", "getting smaller", "deflating"],
    ["blinking", "blinking", "blinking on and off", "flashing", "appearing and disappearing"],
]
GROUNDS = [
    ["on a plain {c} background", "over a {c} backdrop", "in front of a {c} background", "against a {c} backdrop"],
    ["on a {c} floor", "on the {c} floor", "on a {c} floor in front of a {w} wall",
     "over a {c} floor with a {w} wall behind", "between a {w} wall and a {c} floor"],
    ["in front of {c} stripes", "against {c} stripes", "over {c} striped wallpaper", "before {c} stripes"],
    ["on a {c} checkerboard", "in front of {c} checks", "against a {c} checkered background"],
    ["over a {c} gradient", "against a fading {c} backdrop", "in front of a soft {c} gradient"],
]
CAMERAS = [
    [],
    ["as the camera pans left", "while the camera moves left", "and the view drifts to the left"],
    ["as the camera pans right", "while the camera moves right", "and the view drifts to the right"],
    ["as the camera zooms in", "while the camera moves closer", "with a slow zoom in"],
    ["as the camera zooms out", "while the camera moves away", "with a slow zoom out"],
]
# Placeholders: {n} toy, {p} present, {g} -ing form, {b} background with a leading space or nothing.
ONE = ["{n} {p}{b}", "{n} {p}{b}", "{n} is {g}{b}", "{n} keeps {g}{b}", "{B}, {n} {p}", "{B}, {n} is {g}",
       "{n} that {p}{b}", "there is {n} {g}{b}", "{n} {g}{b}", "{v}{b}", "{v}{b}", "{n} {p} again and again{b}",
       "{n} always {p}{b}", "we see {n} {g}{b}"]
TWO = ["{n} {p} while {m} {q}{b}", "{n} {p} and {m} {q}{b}", "{n} is {g} and {m} is {h}{b}",
       "{B}, {n} {p} while {m} {q}", "{n} {g} next to {m} {h}{b}", "two toys: {n} {p}, {m} {q}{b}",
       "{n} keeps {g} while {m} keeps {h}{b}", "{v} and {w}{b}", "{n} {p}, {m} {q}{b}",
       "{B}, {n} keeps {g} while {m} {q}", "as {n} {p}, {m} {q}{b}", "two toys{b}: {n} that {p} and {m} that {q}"]
STILL_ONE = ["{n}{b}", "{n}{b}", "{n}{b}", "a picture of {n}{b}", "{B}, {n}", "a still image of {n}{b}", "there is {n}{b}"]
STILL_TWO = ["{n} and {m}{b}", "{n} next to {m}{b}", "a picture of {n} and {m}{b}", "{B}, {n} and {m}",
             "two toys: {n} and {m}{b}", "{n} with {m}{b}", "a still image of {n} and {m}{b}"]
ARTICLES = ["a", "a", "a", "the", "one", ""]


def _article(word):
    return "an" if word[0] in "aeiou" else "a"


def _noun(rng, toy, prefix=None, article=None):
    """A noun phrase. prefix: an -ing word before the size."""
    words = [prefix] if prefix else []
    if rng.random() < 0.62:
        words.append(rng.choice(SIZE_WORDS[toy[2]]))
    words += [rng.choice(COLOUR_WORDS[toy[1]]), rng.choice(SHAPE_WORDS[toy[0]])]
    article = rng.choice(ARTICLES) if article is None else article
    if article == "a":
        article = _article(words[0])
    return " ".join(filter(None, [article] + words))


def _single(rng, motion):
    return rng.choice([w for w in PROGRESSIVE[motion] if " " not in w])


def _ground(rng, kind, ground):
    text = rng.choice(GROUNDS[kind])
    c, w = (rng.choice(GROUND_WORDS[g]) for g in ground)
    return text.format(c=c, w=w)


def _sentence(rng, scene):
    toys = list(scene["toys"])
    rng.shuffle(toys)
    still, pair = scene["image"], len(toys) == 2
    template = rng.choice((STILL_TWO if pair else STILL_ONE) if still else (TWO if pair else ONE))
    ground = _ground(rng, scene["background"], scene["ground"])
    if "{B}" not in template and rng.random() < 0.25:
        ground = ""
    article = rng.choice(ARTICLES)
    fill = {"B": ground, "b": " " + ground if ground else ""}
    for toy, (n, p, g, v) in zip(toys, ("npgv", "mqhw")):
        fill[n] = _noun(rng, toy, article=article)
        fill[p], fill[g] = rng.choice(PRESENT[toy[3]]), rng.choice(PROGRESSIVE[toy[3]])
        fill[v] = _noun(rng, toy, prefix=_single(rng, toy[3]), article=article)
    text = template.format(**fill)
    if scene["camera"] and rng.random() < 0.7:
        text += " " + rng.choice(CAMERAS[scene["camera"]])
    style = rng.random()
    if style < 0.5:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.3 else "")


def _scenes(spec):
    rows = zip(spec.count.tolist(), spec.shape.tolist(), spec.colour.tolist(), spec.size.tolist(),
               spec.motion.tolist(), spec.background.tolist(), spec.ground.tolist(), spec.camera.tolist(),
               spec.image.tolist())
    for count, shape, colour, size, motion, background, ground, camera, image in rows:
        yield {"toys": list(zip(shape, colour, size, motion))[:count], "background": background,
               "ground": ground, "camera": camera, "image": image}


def caption(spec, rng=None):
    """One caption a scene. rng: random.Random or a seed; another seed words the same scenes anew."""
    rng = rng if isinstance(rng, random.Random) else random.Random(rng)
    return [_sentence(rng, scene) for scene in _scenes(spec)]


def labels(spec, frames=1, height=96, width=96):
    """What a viewer should find, one dict a scene. Times in seconds, pan -1 (left) to 1 (right)."""
    short = min(height, width)
    times, valid, pan = (a.tolist() for a in motion_module.events(
        spec.to("cpu"), frames / names.FPS, width / (2 * short), height / (2 * short)))
    out = []
    for i, scene in enumerate(_scenes(spec)):
        events = []
        for toy, (_, _, _, kind) in enumerate(scene["toys"]):
            events += [{"time": times[i][toy][k], "kind": names.MOTIONS[kind], "toy": toy, "pan": pan[i][toy][k]}
                       for k in range(len(times[i][toy])) if valid[i][toy][k]]
        if scene["image"] or frames == 1:
            events = []
        out.append({
            "toys": [{"shape": names.SHAPES[s], "colour": names.COLOURS[c], "size": names.SIZES[z],
                      "motion": names.MOTIONS[m]} for s, c, z, m in scene["toys"]],
            "background": names.BACKGROUNDS[scene["background"]],
            "ground": [names.BACKGROUND_COLOURS[g] for g in scene["ground"]],
            "camera": names.CAMERAS[scene["camera"]],
            "impacts": sorted(events, key=lambda e: e["time"]),
        })
    return out


def _strings(tree):
    if isinstance(tree, str):
        yield tree
    else:
        for branch in tree:
            yield from _strings(branch)


def words_of(text):
    """The words of a text as the model file counts them: lower case, letters only, hyphens split."""
    return re.findall(r"[a-z]+", text.lower())


def vocabulary():
    """Sorted list of every word that caption() can emit."""
    tables = [SIZE_WORDS, COLOUR_WORDS, SHAPE_WORDS, GROUND_WORDS, PRESENT, PROGRESSIVE, GROUNDS, CAMERAS, ONE, TWO,
              STILL_ONE, STILL_TWO, ARTICLES, ["a", "an"]]
    text = " ".join(_strings(tables))
    return sorted(set(words_of(re.sub(r"\{\w\}", " ", text))))
