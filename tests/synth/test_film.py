"""The last steps from light to pixels, against loops."""

from types import SimpleNamespace

import numpy as np
import torch

from reidlab.synth import film


def test_blur_is_two_passes_of_three_taps():
    rng = np.random.default_rng(0)
    picture, sigma = rng.random((2, 5, 6, 3)), np.array([0.0, 0.9])
    expected = picture.copy()
    for image, s in zip(expected, sigma, strict=True):
        w = min(s * s / 4, 0.32)
        for _ in range(2):
            for axis in (0, 1):
                old = np.moveaxis(image.copy(), axis, 0)
                new = np.moveaxis(image, axis, 0)  # a view: writes into `expected`
                for i in range(len(old)):
                    before, after = old[max(i - 1, 0)], old[min(i + 1, len(old) - 1)]
                    new[i] = (1 - 2 * w) * old[i] + w * before + w * after
    planes = torch.as_tensor(picture).permute(3, 0, 1, 2).clone()
    blurred = film._blur(planes, torch.as_tensor(sigma)).permute(1, 2, 3, 0)
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(blurred[0].numpy(), picture[0])


def test_noise_of_a_large_picture_runs_round_the_bank():
    cpu, start = torch.device("cpu"), 2**20 - 1
    shots = SimpleNamespace(noise=np.array([start]))
    scene = SimpleNamespace(device=cpu, height=1024, width=1024, shots=shots)
    noise, bank = film._noise(scene)[0], film._noise_bank(cpu)
    ring = torch.cat([bank, bank])[start : start + len(noise)]
    assert len(noise) == 3 * 2**20
    assert torch.equal(noise, ring)
