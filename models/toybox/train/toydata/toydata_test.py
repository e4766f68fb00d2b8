"""python3 -m unittest discover -s models/toybox/train/toydata -p '*_test.py'"""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
try:
    import torch
except ImportError as error:
    if __name__ == "__main__":
        print("skipped: PyTorch is not installed")
        sys.exit(0)
    raise unittest.SkipTest("PyTorch is not installed") from error

import toydata
from toydata import motion, names, spec as spec_module


torch.set_num_threads(1)


class SpecTest(unittest.TestCase):
    def test_same_seed_same_scenes(self):
        a, b = toydata.sample_specs(64, 5), toydata.sample_specs(64, 5)
        for field in vars(a):
            self.assertTrue(torch.equal(getattr(a, field), getattr(b, field)), field)
        self.assertFalse(torch.equal(a.shape, toydata.sample_specs(64, 6).shape))

    def test_training_never_draws_a_held_out_triple(self):
        s = toydata.sample_specs(4096, 1)
        present = s.present()
        triples = zip(s.shape[present].tolist(), s.colour[present].tolist(), s.motion[present].tolist())
        self.assertFalse(any(names.held_out(*t) for t in triples))
        s = toydata.evaluation_specs(256)
        first = zip(s.shape[:, 0].tolist(), s.colour[:, 0].tolist(), s.motion[:, 0].tolist())
        self.assertTrue(all(names.held_out(*t) for t in first))

    def test_names_are_balanced(self):
        s = toydata.sample_specs(8192, 2)
        for values, n in ((s.shape[:, 0], 8), (s.colour[:, 0], 8), (s.motion[:, 0], 10)):
            share = torch.bincount(values, minlength=n).double() / len(s) * n
            if n == 10:  # `still` has its own, smaller chance
                share = share[1:] * 9 / 10 / (1 - 0.03)
            self.assertLess((share - 1).abs().max(), 0.15)

    def test_two_toys_differ_and_never_touch(self):
        s = toydata.sample_specs(256, 3, two=1.0)[:]
        pair = s.count == 2
        self.assertGreater(pair.float().mean(), 0.95)
        self.assertFalse((s.shape[pair][:, 0] == s.shape[pair][:, 1]).any())
        self.assertFalse((s.colour[pair][:, 0] == s.colour[pair][:, 1]).any())
        for half_w, half_h in ((0.5, 0.5), (16 / 18, 0.5), (0.5, 16 / 18)):
            box = motion.lanes(s, half_w, half_h)[pair]
            apart_x = torch.maximum(box[:, 1, 0] - box[:, 0, 1], box[:, 0, 0] - box[:, 1, 1])
            apart_y = torch.maximum(box[:, 1, 2] - box[:, 0, 3], box[:, 0, 2] - box[:, 1, 3])
            self.assertTrue((torch.maximum(apart_x, apart_y) > -1e-5).all())

    def test_toys_stay_in_the_picture(self):
        s = toydata.sample_specs(512, 4)
        t = (torch.arange(64) / 16).expand(512, 2, 64)
        for half_w, half_h in ((0.5, 0.5), (16 / 18, 0.5), (0.5, 16 / 18)):
            p = motion.pose(s, t, half_w, half_h)
            r = s.radius[..., None]
            reach_x = (p["x"].abs() + 0.86 * r * p["sx"])[s.present()]
            reach_y = (p["y"].abs() + 0.76 * r * p["sy"])[s.present()]
            self.assertLess(reach_x.max(), half_w + 0.02)
            self.assertLess(reach_y.max(), half_h + 0.02)

    def test_events_are_apart_and_start_early(self):
        s = toydata.sample_specs(1024, 5)
        self.assertGreaterEqual(s.period[s.motion != spec_module.STILL].min(), 0.5)
        self.assertTrue((s.first <= 0.9).all() and (s.first >= 0.15).all() and (s.first <= s.period).all())


class ClipTest(unittest.TestCase):
    def test_shapes_ranges_and_repeatability(self):
        s = toydata.sample_specs(4, 7)
        for frames, h, w in ((8, 64, 112), (1, 96, 96)):
            clip = toydata.render(s, frames, h, w)
            self.assertEqual(tuple(clip["video"].shape), (4, frames, h, w, 3))
            self.assertEqual(tuple(clip["audio"].shape), (4, frames * 1000, 2))
            self.assertLessEqual(float(clip["video"].abs().max()), 1.0)
            self.assertLessEqual(float(clip["audio"].abs().max()), 1.0)
            again = toydata.render(s, frames, h, w)
            self.assertTrue(torch.equal(clip["video"], again["video"]))
            self.assertTrue(torch.equal(clip["audio"], again["audio"]))
            one = toydata.render(s[2:3], frames, h, w)
            self.assertTrue(torch.allclose(clip["video"][2:3], one["video"], atol=1e-5))

    def test_images_are_silent(self):
        clip = toydata.render(toydata.sample_specs(4, 8, image=True), 1, 64, 64)
        self.assertEqual(float(clip["audio"].abs().max()), 0.0)

    def test_sound_starts_at_each_event_on_its_side(self):
        s = toydata.sample_specs(32, 9, two=0.0, still=0.0)
        audio = toydata.render(s, 32, 64, 112)["audio"]
        for i, label in enumerate(toydata.labels(s, 32, 64, 112)):
            self.assertTrue(label["impacts"])
            for event in label["impacts"]:
                at = int(event["time"] * 16000)
                if at > 31000:
                    continue
                left, right = audio[i, at:at + 500].square().sum(0).sqrt().tolist()
                before = audio[i, max(0, at - 300):at].square().mean().sqrt()
                self.assertGreater(left + right, 0.3)
                self.assertGreater(audio[i, at:at + 300].square().mean().sqrt(), 2 * before)
                self.assertAlmostEqual((right - left) / (left + right), event["pan"], delta=0.35)


class CaptionTest(unittest.TestCase):
    def test_vocabulary_covers_every_caption(self):
        known = set(toydata.vocabulary())
        rng = random.Random(1)
        for image in (False, True):
            s = toydata.sample_specs(2000, 11, image=image, split="all", camera=0.5)
            for text in toydata.caption(s, rng):
                self.assertLessEqual(set(toydata.captions.words_of(text)), known, text)
                self.assertTrue(text.isascii() and "  " not in text and "{" not in text, text)

    def test_captions_vary_and_repeat_by_seed(self):
        s = toydata.sample_specs(200, 12)
        self.assertEqual(toydata.caption(s, 1), toydata.caption(s, 1))
        different = sum(a != b for a, b in zip(toydata.caption(s, 1), toydata.caption(s, 2)))
        self.assertGreater(different, 190)


if __name__ == "__main__":
    unittest.main()
