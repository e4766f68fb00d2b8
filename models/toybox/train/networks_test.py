"""Properties of the Toybox networks and of training's small parts, on a tiny random configuration."""
from __future__ import annotations

import pathlib
import sys
import tempfile
import unittest

try:
    import safetensors
    import torch
except ImportError as error:
    if __name__ == "__main__":
        print("skipped: PyTorch or safetensors is not installed")
        sys.exit(0)
    raise unittest.SkipTest("PyTorch or safetensors is not installed") from error

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checkpoint
import masks
from config import ToyboxConfig, tiny_config
from make_parity import randomise
from networks import Toybox, audio_latents, latent_frames
from optim import orthogonalise
from pool import caption_ids, caption_rows
from sampling import Conditioning, denoise, schedule
from text_encoder import encode_caption, tokenize


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        cls.model = Toybox(tiny_config()).eval().requires_grad_(False)
        randomise(cls.model, 1)

    def test_any_length_encodes_to_a_latent_for_each_eight_frames_begun(self):
        for frames in (1, 2, 8, 9, 17):
            video = torch.rand(1, frames, 16, 24, 3) * 2 - 1
            latents = self.model.tae.encode(video)
            self.assertEqual(tuple(latents.shape[:4]), (1, latent_frames(frames), 2, 3))
            self.assertEqual(self.model.tae.decode(latents, frames).shape, video.shape)

    def test_an_image_is_an_endlessly_still_clip(self):
        image = torch.rand(1, 1, 16, 16, 3) * 2 - 1
        one, many = self.model.tae.encode(image), self.model.tae.encode(image.expand(-1, 24, -1, -1, -1))
        torch.testing.assert_close(many, one.expand_as(many), atol=1e-5, rtol=1e-4)

    def test_codec_keeps_the_length(self):
        audio = torch.randn(2, 640 * 3, 2)
        latents = self.model.codec.encode(audio)
        self.assertEqual(latents.shape[1], 3)
        self.assertEqual(self.model.codec.decode(latents).shape, audio.shape)

    def test_padding_changes_no_text_output(self):
        c = self.model.config.text
        ids, lengths = tokenize(["a red ball bounces"], c)
        wide, _ = tokenize(["a red ball bounces"], c, ids.shape[1] + 9)
        a, b = self.model.text(ids, lengths), self.model.text(wide, lengths)
        torch.testing.assert_close(a, b[:, : ids.shape[1]], atol=1e-5, rtol=1e-5)

    def test_wholly_known_latents_come_out_as_given(self):
        video, audio = torch.randn(1, 2, 2, 2, 4), torch.randn(1, audio_latents(16), 6)
        known = Conditioning.none(video, audio)
        known.video_mask[:, 0] = 1
        known.video_known[:, 0] = 0.25
        ids, lengths = tokenize(["ball"], self.model.config.text)
        text = self.model.text(ids, lengths)
        v, _ = denoise(self.model, video, audio, text, lengths, text, lengths, schedule(2), 2.0, known)
        self.assertTrue((v[:, 0] == 0.25).all())
        self.assertFalse((v[:, 1] == 0.25).any())

    def test_weights_survive_packing(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model, state = Toybox(ToyboxConfig()), {}
            for part, prefixes in checkpoint.PARTS.items():
                keep = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in prefixes}
                if part != "dit":
                    keep = {k.split(".", 1)[1]: v for k, v in keep.items()}
                state[part] = {"model": keep, "steps": 3}
                if part == "dit":
                    state[part]["statistics"] = (torch.zeros(16), torch.ones(16), torch.zeros(32), torch.ones(32))
                torch.save(state[part], folder / f"{part}.pt")
            checkpoint.pack(folder, folder / "a.safetensors", {"guidance": 2.5})
            loaded = checkpoint.load(folder / "a.safetensors")
            self.assertEqual(loaded.config.recipe.guidance, 2.5)
            for k, v in model.state_dict().items():
                self.assertTrue(torch.equal(loaded.state_dict()[k], v.half().float()), k)


class Training(unittest.TestCase):
    def test_caption_bytes_become_the_ids_of_the_tokenizer(self):
        c = ToyboxConfig().text
        captions = ["", "a red ball", "größer"]
        rows, lengths = map(torch.from_numpy, caption_rows(captions))
        ids = caption_ids(rows, lengths, c)
        for row, caption in zip(ids.tolist(), captions):
            wanted = encode_caption(caption, c)
            self.assertEqual(row, wanted + [c.pad_id] * (len(row) - len(wanted)))

    def test_masks_and_known_latents_agree(self):
        modes = torch.arange(len(masks.NAMES)).repeat(50)
        video, audio = torch.randn(len(modes), 4, 1, 1, 2), torch.randn(len(modes), 50, 3)
        first, last = torch.randn(len(modes), 1, 1, 2), torch.randn(len(modes), 1, 1, 2)
        k = masks.build(modes, video, audio, first, last)
        full = k.video_mask == 1
        torch.testing.assert_close(torch.where(full, k.video_known, video), video)
        self.assertTrue((k.video_known[(k.video_mask == 0).expand_as(video)] == 0).all())
        begin = modes == masks.NAMES.index("first")
        torch.testing.assert_close(k.video_known[begin, 0], first[begin])
        self.assertTrue((k.audio_mask[modes == masks.NAMES.index("audio")] == 1).all())
        self.assertTrue((k.audio_mask[modes == masks.NAMES.index("video")] == 0).all())
        prefix = modes == masks.NAMES.index("prefix")
        torch.testing.assert_close(k.audio_mask[prefix].mean((1, 2)), k.video_mask[prefix].mean((1, 2, 3, 4)),
                                   atol=0.021, rtol=0)

    def test_orthogonalise_evens_out_singular_values(self):
        s = torch.linalg.svdvals(orthogonalise(torch.randn(3, 24, 40)).float())
        self.assertTrue(((s > 0.5) & (s < 1.5)).all())


if __name__ == "__main__":
    unittest.main()
