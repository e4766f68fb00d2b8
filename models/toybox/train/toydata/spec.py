"""Scene parameters: what a batch of clips shows. Everything is a tensor; one spec renders at any size and length."""

import dataclasses

import torch

from . import names

# Event period in seconds (one event a period) by motion; rise and fall add their rest and pop.
PERIOD = [(1.0, 1.0), (0.55, 0.95), (0.6, 1.1), (1.3, 1.7), (1.2, 1.5),
          (0.8, 1.4), (0.95, 1.45), (0.7, 1.15), (0.7, 1.15), (0.6, 1.05)]
FIRST_EVENT = (0.18, 0.88)
STILL, BOUNCE, SLIDE, RISE, FALL, ORBIT, SPIN, GROW, SHRINK, BLINK = range(10)


@dataclasses.dataclass
class Spec:
    """A batch of B scenes of up to N = 2 toys. Lengths in units of the short side, times in seconds."""

    count: torch.Tensor       # [B] toys, 1 or 2
    shape: torch.Tensor       # [B, N] index into names.SHAPES
    colour: torch.Tensor      # [B, N]
    size: torch.Tensor        # [B, N]
    motion: torch.Tensor      # [B, N]
    radius: torch.Tensor      # [B, N]
    rgb: torch.Tensor         # [B, N, 3] in 0..1
    first: torch.Tensor       # [B, N] time of the first event
    period: torch.Tensor      # [B, N] time from event to event
    direction: torch.Tensor   # [B, N] +1 or -1: first wall of slide, sense of orbit and spin
    place: torch.Tensor       # [B, N, 2] resting place as a fraction -1..1 of the free room
    extent: torch.Tensor      # [B, N] fraction of the free room that the motion takes
    stacked: torch.Tensor     # [B] two toys share the picture top and bottom (True) or left and right
    swapped: torch.Tensor     # [B] toy 0 takes the second half
    background: torch.Tensor  # [B]
    ground: torch.Tensor      # [B, 2] background colours: main (floor), second (wall)
    ground_rgb: torch.Tensor  # [B, 2, 3] in 0..1
    phase: torch.Tensor       # [B] shift of the pattern, 0..1
    camera: torch.Tensor      # [B]
    image: torch.Tensor       # [B] a still image: captions name no motion

    def __len__(self):
        return self.count.shape[0]

    def __getitem__(self, index):
        if isinstance(index, int):
            index = slice(index, index + 1)
        return Spec(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def to(self, device):
        return Spec(**{f.name: getattr(self, f.name).to(device, non_blocking=True)
                       for f in dataclasses.fields(self)})

    @property
    def device(self):
        return self.count.device

    def present(self):
        """[B, N] bool: which toys exist."""
        return torch.arange(self.shape.shape[1], device=self.device)[None] < self.count[:, None]


def join(specs):
    """One batch out of several."""
    return Spec(**{f.name: torch.cat([getattr(s, f.name) for s in specs]) for f in dataclasses.fields(Spec)})


def _combinations(split, motions):
    rows = [(s, c, m) for s in range(len(names.SHAPES)) for c in range(len(names.COLOURS)) for m in motions
            if split == "all" or names.held_out(s, c, m) == (split == "heldout")]
    return torch.tensor(rows)


def _background_allowed():
    """[colours, backgrounds] bool: the toy stands out from the background."""
    toy = torch.tensor(names.COLOUR_RGB, dtype=torch.float32)
    ground = torch.tensor(names.BACKGROUND_RGB, dtype=torch.float32)
    allowed = torch.cdist(toy, ground) > 125.0
    for i, name in enumerate(names.COLOURS):
        if name in names.BACKGROUND_COLOURS:
            allowed[i, names.BACKGROUND_COLOURS.index(name)] = False
    return allowed


def sample_specs(batch, seed=0, *, device="cpu", split="train", image=False, two=0.3, camera=0.15,
                 still=0.03, motions=None):
    """Draws scenes. The draw happens on the CPU, so that a seed means the same scenes on every device.

    seed: int or CPU torch.Generator. split: "train" (never a held-out triple), "heldout" (toy 0 is one) or
    "all". image: still pictures. two, camera, still: chances of a second toy, a moving camera, a motionless toy.
    motions: names to choose from (default: all; `still` is then drawn with its own chance).
    """
    g = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))

    def uniform(*shape, low=0.0, high=1.0):
        return torch.rand(*shape, generator=g) * (high - low) + low

    def chance(p, *shape):
        return torch.rand(*shape, generator=g) < p

    def pick(rows, *shape):
        return rows[torch.randint(len(rows), shape, generator=g)]

    moving = [m for m in range(len(names.MOTIONS)) if m != STILL]
    if motions is not None:
        moving = [names.MOTIONS.index(m) for m in motions]
    if image:
        moving, still = [STILL], 0.0
    other = "train" if split == "heldout" else split

    def draw(which, *shape):
        rows = pick(_combinations(which, moving), *shape)
        quiet = pick(_combinations(which, [STILL]), *shape)
        return torch.where(chance(still if motions is None else 0.0, *shape)[..., None], quiet, rows)

    # Toys: two of them differ in shape and colour. The first of 24 candidates that fits is taken.
    first = draw(split, batch)
    candidates = draw(other, batch, 24)
    fits = ((candidates[..., 0] != first[:, None, 0]) & (candidates[..., 1] != first[:, None, 1]))
    second = candidates[torch.arange(batch), fits.int().argmax(1)]
    count = 1 + (chance(two, batch) & fits.any(1)).long()
    toys = torch.stack([first, second], 1)
    shape, colour, motion = toys.unbind(-1)

    # Sizes: two toys must leave each other room, and room to move sideways.
    size = torch.randint(3, (batch, 2), generator=g)
    sideways = ((motion == SLIDE) | (motion == ORBIT)).sum(1)
    pair = count == 2
    crowd = pair & (size.sum(1) > 2)
    trimmed = torch.where(crowd[:, None], torch.stack([size[:, 0], (2 - size[:, 0]).clamp(min=0)], 1), size)
    flip = chance(0.5, batch)
    trimmed_other = torch.where(crowd[:, None], torch.stack([(2 - size[:, 1]).clamp(min=0), size[:, 1]], 1), size)
    size = torch.where(flip[:, None], trimmed, trimmed_other)
    both_move = pair & (sideways == 2)
    size = torch.where(both_move[:, None] & (size == 2), torch.ones_like(size), size)
    radius = torch.tensor(names.SIZE_RADIUS)[size] * uniform(batch, 2, low=0.96, high=1.04)

    vertical = ((motion == BOUNCE) | (motion == RISE) | (motion == FALL)).any(1)
    stacked = (motion == SLIDE).any(1) & ~vertical

    rgb = torch.tensor(names.COLOUR_RGB, dtype=torch.float32)[colour] / 255
    rgb = (rgb + uniform(batch, 2, 3, low=-0.02, high=0.02)).clamp(0, 1)

    low, high = torch.tensor(PERIOD)[motion].unbind(-1)
    period = low + (high - low) * uniform(batch, 2)
    latest = (period * 0.98).clamp(max=FIRST_EVENT[1])
    latest = torch.where(motion == FALL, (period - 0.75).clamp(min=0.4), latest)
    latest = torch.where(motion == RISE, (period - 0.65).clamp(max=FIRST_EVENT[1]), latest)
    earliest = torch.where((motion == FALL) | (motion == RISE), 0.34, FIRST_EVENT[0])
    first_event = earliest + (latest - earliest) * uniform(batch, 2)

    place = uniform(batch, 2, 2, low=-0.9, high=0.9)
    place[..., 1] = torch.where(chance(0.5, batch, 2), torch.ones(batch, 2), place[..., 1])

    allowed = _background_allowed()
    fine = allowed[colour[:, 0]] & (allowed[colour[:, 1]] | ~pair[:, None])
    weight = fine.float() + 1e-9
    main = torch.multinomial(weight, 1, generator=g)
    weight2 = weight.scatter(1, main, 1e-9)
    ground = torch.cat([main, torch.multinomial(weight2, 1, generator=g)], 1)
    ground_rgb = torch.tensor(names.BACKGROUND_RGB, dtype=torch.float32)[ground] / 255
    ground_rgb = (ground_rgb + uniform(batch, 2, 3, low=-0.02, high=0.02)).clamp(0, 1)

    kinds = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4])
    moves = chance(0.0 if image else camera, batch)
    return Spec(
        count=count, shape=shape, colour=colour, size=size, motion=motion, radius=radius, rgb=rgb,
        first=first_event, period=period,
        direction=torch.where(chance(0.5, batch, 2), 1.0, -1.0),
        place=place, extent=uniform(batch, 2, low=0.72, high=1.0),
        stacked=stacked, swapped=chance(0.5, batch),
        background=pick(kinds, batch), ground=ground, ground_rgb=ground_rgb, phase=uniform(batch),
        camera=torch.where(moves, torch.randint(1, len(names.CAMERAS), (batch,), generator=g), 0),
        image=torch.full((batch,), bool(image)),
    ).to(device)


EVALUATION_SEED = 1_000_000_007  # training seeds stay below 10^9


def evaluation_specs(count=256, image=False, **options):
    """The fixed held-out scenes: toy 0 is a triple that training never draws."""
    return sample_specs(count, EVALUATION_SEED, split="heldout", image=image, **options)
