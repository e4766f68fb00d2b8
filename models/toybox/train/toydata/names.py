"""The closed world of Toybox: names, colours, sizes and sounds. Indices are stable: labels and seeds use them."""

SHAPES = ["ball", "box", "triangle", "star", "heart", "ring", "cross", "diamond"]
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
SIZES = ["small", "medium", "large"]
MOTIONS = ["still", "bounce", "slide", "rise", "fall", "orbit", "spin", "grow", "shrink", "blink"]
BACKGROUNDS = ["plain", "floor", "stripes", "checker", "gradient"]
CAMERAS = ["static", "pan left", "pan right", "zoom in", "zoom out"]

# sRGB 0..255. Toys are saturated; backgrounds are muted, so that a toy stands out from every one.
COLOUR_RGB = [
    (222, 36, 44), (246, 134, 18), (250, 222, 40), (44, 176, 66),
    (32, 92, 236), (152, 60, 210), (252, 122, 186), (250, 250, 250),
]
BACKGROUND_COLOURS = ["dark", "grey", "blue", "green", "yellow", "brown", "red", "pink", "purple", "teal", "navy"]
BACKGROUND_RGB = [
    (44, 46, 56), (138, 140, 146), (112, 144, 178), (124, 158, 120), (214, 200, 140), (126, 98, 78),
    (152, 92, 88), (214, 176, 184), (132, 116, 150), (58, 112, 114), (36, 48, 84),
]

SIZE_RADIUS = [0.115, 0.165, 0.23]  # fractions of the short side
SIZE_PITCH_HZ = [784.0, 440.0, 247.0]  # G5, A4, B3

FPS = 16
SAMPLE_RATE = 16000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


def held_out(shape, colour, motion):
    """True for the (shape, colour, motion) triples that training never sees: 1 in 16, spread over all names."""
    return (5 * shape + 3 * colour + 7 * motion) % 16 == 11
