"""The one reader of images: what a person sees is what comes out; what cannot be read is named."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from reidlab.data import DatasetError, read_image, read_mask

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (6, 4, 3), np.uint8)
GRAY16 = np.array([[0, 255, 256, 1000], [30_000, 40_000, 65_534, 65_535]], np.uint16)


def pixels(path):
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def png(path, array, depth, kind, *chunks):
    """A PNG written by hand: rows of raw bytes, and chunks before the pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = b"".join(b"\0" + bytes(row) for row in array)
    height, width = len(array), len(array[0]) * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*each) for each in chunks)]
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


class TestOrdinary:
    """All committed numbers rest on these: not a bit differs from plain Pillow."""

    @pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tif", "webp", "ppm"])
    @pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
    def test_as_plain_pillow(self, suffix, mode, tmp_path):
        path = tmp_path / f"a.{suffix}"
        image = Image.fromarray(RANDOM.integers(0, 256, (64, 32, 3), np.uint8)).convert(mode)
        image.convert("RGB" if suffix in ("jpg", "webp", "ppm") and mode == "P" else mode).save(
            path
        )
        assert (pixels(path) == np.asarray(Image.open(path).convert("RGB"))).all()

    def test_cmyk_of_adobe_is_not_inverted(self, tmp_path):
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
        red, green, blue = pixels(tmp_path / "a.jpg")[4, 4]
        assert red > 200 > 50 > green
        assert blue < 50

    @pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
    def test_of_several_frames_the_first(self, suffix, tmp_path):
        frames = [Image.new("RGB", (4, 6), (50 * i, 50 * i, 50 * i)) for i in (1, 2, 3)]
        path = tmp_path / f"a.{suffix}"
        more = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **more)
        assert Image.open(path).n_frames == 3
        assert (pixels(path) == 50).all()

    @pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
    def test_of_odd_sizes(self, size, tmp_path):
        Image.new("RGB", size, (1, 2, 3)).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").size == size

    def test_a_name_that_is_no_unicode(self, tmp_path):
        path = tmp_path / os.fsdecode(b"caf\xe9.png")
        Image.fromarray(RGB).save(path)
        assert (pixels(path) == RGB).all()


class TestDeep:
    @pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
    def test_16_bits_are_scaled_by_their_type(self, suffix, tmp_path):
        Image.fromarray(GRAY16).save(tmp_path / f"a.{suffix}")
        got = pixels(tmp_path / f"a.{suffix}")
        expected = np.round(GRAY16 / 257)
        assert (got == expected[..., None]).all()

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(("photometric", "turned"), [(1, False), (0, True)])
    def test_a_tiff_of_either_byte_order(self, order, photometric, turned, tmp_path):
        path = tiff(tmp_path, GRAY16, order, 16, photometric=photometric)
        if turned and order == ">":
            pytest.skip("Pillow does not open white-is-zero in this order")
        expected = np.round(GRAY16 / 257).astype(int)
        assert (pixels(path) == (255 - expected if turned else expected)[..., None]).all()

    def test_a_tiff_of_12_bits_has_its_own_white(self, tmp_path):
        packed = np.array([[0x00, 0x0F, 0xFF]], np.uint8)  # 0x000, 0xFFF
        path = tiff(tmp_path, packed, "<", 12, width=2)
        assert pixels(path)[0, :, 0].tolist() == [0, 255]

    def test_the_range_of_an_image_does_not_matter(self, tmp_path):
        Image.fromarray(np.array([[14_000, 14_100]], np.uint16)).save(tmp_path / "a.png")
        assert pixels(tmp_path / "a.png")[0, :, 0].tolist() == [54, 55]

    def test_colours_of_16_bits(self, tmp_path):
        values = np.array([[0, 257, 30_000, 65_535, 513, 1]], ">u2")
        path = png(tmp_path / "a.png", [values.tobytes()], 16, 2)
        assert np.abs(pixels(path).ravel() - values / 257.0).max() < 1

    @pytest.mark.parametrize(
        ("array", "mode", "kind"),
        [
            (np.array([[0, 70_000]], np.int32), "I", "32 bits"),
            (np.array([[-5, 70]], np.int16).astype(np.int32), "I", "below 0"),
            (np.array([[0.5, np.nan]], np.float32), "F", "floats"),
        ],
    )
    def test_what_has_no_white_is_refused(self, array, mode, kind, tmp_path):
        Image.fromarray(array).save(tmp_path / "a.tif")
        with pytest.raises(DatasetError, match=rf"a\.tif: its mode is '{mode}'.*{kind}.*PNG"):
            read_image(tmp_path / "a.tif")

    @pytest.mark.parametrize(("photometric", "bits"), [(2, 32), (32_803, 16), (1, 64)])
    def test_a_tiff_that_pillow_does_not_know(self, photometric, bits, tmp_path):
        path = tiff(tmp_path, GRAY16, "<", bits, photometric=photometric)
        with pytest.raises(DatasetError, match=r"a\.tif: it is a TIFF"):
            read_image(path)


def tiff(folder, rows, order, bits, *, photometric=1, width=None, orientation=None):
    """A TIFF of one strip, written by hand."""
    height, data = len(rows), rows.astype(rows.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: width or rows.shape[1], 257: height, 258: bits, 259: 1, 262: photometric,
        273: 8, 277: 1, 278: height, 279: len(data),
    }  # fmt: skip
    if orientation is not None:
        tags[274] = orientation
    mark = b"II*\0" if order == "<" else b"MM\0*"
    table = struct.pack(f"{order}H", len(tags))
    for tag, value in sorted(tags.items()):
        table += struct.pack(f"{order}HHII", tag, 4, 1, value)
    place = struct.pack(f"{order}I", 8 + len(data))
    (folder / "a.tif").write_bytes(mark + place + data + table + bytes(4))
    return folder / "a.tif"


UPRIGHT = {  # what the EXIF standard says of row 0 and column 0, done to an upright array
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def tagged(path, array, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(array).save(path, exif=exif, **more)
    return path


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
    @pytest.mark.parametrize("gray", [False, True])
    def test_turned_upright(self, orientation, suffix, gray, tmp_path):
        path = tagged(tmp_path / f"a.{suffix}", RGB[..., 0] if gray else RGB, orientation)
        expected = np.repeat(RGB[..., :1], 3, axis=2) if gray else RGB
        if suffix != "tif":  # which Pillow turns itself
            assert (np.asarray(Image.open(path).convert("RGB")) == expected).all()
        assert (pixels(path) == UPRIGHT[orientation](expected)).all()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_photograph(self, orientation, tmp_path):
        big = np.kron(RGB[:3, :2], np.ones((16, 16, 1), np.uint8))  # survives JPEG
        plain = tmp_path / "plain.jpg"
        Image.fromarray(big).save(plain)
        path = tagged(tmp_path / "a.jpg", big, orientation)
        assert (pixels(path) == UPRIGHT[orientation](pixels(plain))).all()

    def test_the_standard_in_words(self, tmp_path):
        """6, a phone held upright: row 0 of the file is the right side, column 0 the top."""
        stored = np.zeros((2, 4, 3), np.uint8)
        stored[:, 0] = 200
        got = pixels(tagged(tmp_path / "a.png", stored, 6))
        assert got.shape == (4, 2, 3)
        assert (got[0] == 200).all()
        assert (got[1:] == 0).all()

    @pytest.mark.parametrize("orientation", [3, 6])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_a_deep_tiff(self, orientation, order, tmp_path):
        path = tiff(tmp_path, GRAY16, order, 16, orientation=orientation)
        expected = UPRIGHT[orientation](np.round(GRAY16 / 257))
        assert (pixels(path)[..., 0] == expected).all()

    def test_behind_the_pixels_of_a_png(self, tmp_path):
        whole = tagged(tmp_path / "a.png", RGB, 6).read_bytes()
        start = whole.index(b"eXIf") - 4
        size = 12 + struct.unpack(">I", whole[start : start + 4])[0]
        chunk, end = whole[start : start + size], len(whole) - 12
        moved = whole[:start] + whole[start + size : end] + chunk + whole[end:]
        (tmp_path / "b.png").write_bytes(moved)
        assert (pixels(tmp_path / "b.png") == UPRIGHT[6](RGB)).all()

    def test_xmp_where_there_is_no_exif(self, tmp_path):
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
        Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=text)
        assert (pixels(tmp_path / "a.png") == UPRIGHT[6](RGB)).all()

    @pytest.mark.parametrize("orientation", [0, 9, 65_535])
    def test_a_value_of_no_meaning(self, orientation, tmp_path):
        assert (pixels(tagged(tmp_path / "a.png", RGB, orientation)) == RGB).all()

    @pytest.mark.parametrize(
        "exif",
        [
            b"", b"x", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + bytes(range(200)),
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0zz\0\0\0\0\0\0",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    def test_damaged_exif_in_a_whole_image(self, exif, suffix, tmp_path):
        path, plain = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        Image.fromarray(RGB).save(plain)
        Image.fromarray(RGB).save(path, exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert (pixels(path) == pixels(plain)).all()

    def test_a_tag_beside_others_that_are_damaged(self, tmp_path):
        tags = (
            b"\x02\0"
            + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
            + b"\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0"
        )
        exif = b"Exif\0\0II*\0\x08\0\0\0" + tags + bytes(4)
        Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
        assert (pixels(tmp_path / "a.png") == UPRIGHT[6](RGB)).all()


class TestTransparency:
    def test_what_is_hidden_stays_hidden(self, tmp_path):
        """RGBA, LA, PA, a palette with one or with many alphas, a key colour in RGB and gray."""
        hidden, shown = 200, 90
        alpha = np.array([[0, 255]], np.uint8)
        gray = np.array([[hidden, shown]], np.uint8)
        l_, a_ = Image.fromarray(gray), Image.fromarray(alpha)
        palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
        palette.putpalette([hidden] * 3 + [shown] * 3)
        one, many, key_l, key_rgb = palette.copy(), palette.copy(), l_, Image.merge("RGB", [l_] * 3)
        images = {
            "rgba.png": (Image.merge("RGBA", [l_, l_, l_, a_]), {}),
            "rgba.tif": (Image.merge("RGBA", [l_, l_, l_, a_]), {}),
            "rgba.webp": (Image.merge("RGBA", [l_, l_, l_, a_]), {"lossless": True}),
            "la.png": (Image.merge("LA", [l_, a_]), {}),
            "one.png": (one, {"transparency": 0}),
            "one.gif": (one, {"transparency": 0}),
            "many.png": (many, {"transparency": b"\x00\xff"}),
            "key_l.png": (key_l, {"transparency": hidden}),
            "key_rgb.png": (key_rgb, {"transparency": (hidden,) * 3}),
        }
        for name, (image, options) in images.items():
            image.save(tmp_path / name, **options)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                got = pixels(tmp_path / name).tolist()
            assert got == [[[0] * 3, [shown] * 3]], name

    def test_half_transparent(self, tmp_path):
        Image.new("RGBA", (1, 1), (200, 100, 50, 128)).save(tmp_path / "a.png")
        expected = np.array([200, 100, 50]) * 128 / 255
        assert np.abs(pixels(tmp_path / "a.png")[0, 0] - expected).max() <= 0.5

    @pytest.mark.parametrize("alpha", [b"\xff" * 3, b"\xff\x80\xff"])
    def test_a_palette_with_alphas(self, alpha, tmp_path):
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
        image.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
        image.save(tmp_path / "a.png", transparency=alpha)
        expected = np.diag([250] * 3) * np.frombuffer(alpha, np.uint8)[:, None] / 255
        assert np.abs(pixels(tmp_path / "a.png")[0] - expected).max() <= 0.5

    @pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
    def test_opaque_images_keep_every_bit(self, suffix, tmp_path):
        image = Image.fromarray(RGB)
        image.putalpha(255)
        more = {"lossless": True} if suffix == "webp" else {}
        image.save(tmp_path / f"a.{suffix}", **more)
        assert (pixels(tmp_path / f"a.{suffix}") == RGB).all()

    @pytest.mark.parametrize(
        ("depth", "kind", "row", "key", "expected"),
        [
            (1, 0, b"\x55", b"\0\x01", [0] * 8),
            (2, 0, b"\x1b", b"\0\x02", [0, 85, 0, 255]),
            (4, 0, b"\x1b", b"\0\x01", [0, 187]),
            (16, 0, b"\x01\x2c\xff\xff", b"\x01\x2c", [0, 255]),
            (16, 0, b"\x01\x2c\xff\xff", b"\xff\xff", [1, 0]),
            (16, 2, b"\xff\x01" * 3 + b"\x80\x00" * 3, b"\xff\x01" * 3, [0, 128]),
            (16, 4, b"\xff\xff\0\0\x80\x80\xff\xff", None, [0, 128]),
        ],
    )  # fmt: skip
    def test_key_colours_of_every_depth(self, depth, kind, row, key, expected, tmp_path):
        chunks = [] if key is None else [(b"tRNS", key)]
        path = png(tmp_path / "a.png", [row], depth, kind, *chunks)
        assert pixels(path)[0, :, 0].tolist() == expected


def jpeg():
    data = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (64, 32, 3), np.uint8)).save(data, "JPEG")
    return data.getvalue()


FOREIGN = {
    "empty": (b"", r"is empty \(0 bytes\)\..*Copy or unpack"),
    "zeros": (bytes(5000), "holds zeros only.*Copy or unpack"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s1--ab.jpg\n", "git-annex.*git annex get"),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page.*Download it again"),
    "html-bom": (b"\xef\xbb\xbf<HTML>", "web page.*Download it again"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML.*Download it"),
    "svg": (b"<?xml version='1.0'?><!-- x --><svg width='1'/>", "SVG.*Convert it"),
    "json": (b'{"error": "quota"}', "JSON.*Download it again"),
    "json-list": (b'[{"error": 1}]', "JSON.*Download it again"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC.*Convert it to JPEG or PNG"),
    "heif": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC.*Convert it to JPEG or PNG"),
    "avif": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF.*Convert it to JPEG or PNG"),
    "jxl": (b"\xff\x0a\x01\x02", "JPEG XL.*Convert it to JPEG or PNG"),
    "raw": (b"\0\0\0\x18ftypcrx \0\0\0\0", "raw picture.*Convert it"),
    "mp4": (b"\0\0\0\x18ftypisom\0\0\0\0", "film.*frames"),
    "mov": (b"\0\0\0\x14ftypqt  \0\0\0\0", "film.*frames"),
    "pdf": (b"%PDF-1.7\n", "PDF.*Convert it"),
    "zip": (b"PK\x03\x04\x14\0", "zip archive.*Unpack it"),
    "gz": (b"\x1f\x8b\x08\0", "archive.*Unpack it"),
    "tar": (b"a.jpg".ljust(257, b"\0") + b"ustar\0", "archive.*Unpack it"),
    "mat5": (b"MATLAB 5.0 MAT-file", "MATLAB.*in its place"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "MATLAB or HDF5.*in its place"),
    "npy": (b"\x93NUMPY\x01\0", "Python.*in its place"),
    "macos": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "macOS.*Delete it"),
    "base64": (b"data:image/jpeg;base64,/9j/4AAQ", "base64.*Decode"),
    "text": (b"not an image\nat all", "a text that begins with 'not an image"),
    "noise": (b"\x07\xf1\xf2\x00\x01\x02", "begins with the bytes 07 f1 f2.*Copy or unpack"),
    "head": (b"\xff\xd8\xff", "is a JPEG.*Copy or unpack"),
    "cut": (jpeg()[:900], r"is a JPEG and damaged \(.*truncated.*perhaps an interrupted copy"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG.*Copy or unpack"),
}  # fmt: skip


class TestWhatItIs:
    @pytest.mark.parametrize("kind", FOREIGN)
    def test_by_its_first_bytes(self, kind, tmp_path):
        content, message = FOREIGN[kind]
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(
            DatasetError, match=rf"(?s)^cannot read the image .*a\.jpg: it .*{message}"
        ):
            read_image(tmp_path / "a.jpg")

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.jpg").mkdir()
        with pytest.raises(DatasetError, match=r"a\.jpg: it is a folder\. Rename it"):
            read_image(tmp_path / "a.jpg")

    @pytest.mark.parametrize("target", ["nowhere.jpg", "../.git/annex/objects/a.jpg"])
    def test_a_link_to_nothing(self, target, tmp_path):
        (tmp_path / "a.jpg").symlink_to(target)
        with pytest.raises(
            DatasetError, match=rf"a link to {target}, which is not there\. Restore"
        ):
            read_image(tmp_path / "a.jpg")

    def test_a_link_to_itself(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("a.jpg")
        with pytest.raises(DatasetError, match=r"a link to a\.jpg"):
            read_image(tmp_path / "a.jpg")

    def test_what_is_gone(self, tmp_path):
        with pytest.raises(DatasetError, match=r"a\.jpg is gone since .* open the data set again"):
            read_image(tmp_path / "a.jpg")

    def test_what_may_not_be_read(self, tmp_path, monkeypatch):
        Image.fromarray(RGB).save(tmp_path / "a.png")
        denied = PermissionError(13, "Permission denied")
        monkeypatch.setattr(Image, "open", lambda path: (_ for _ in ()).throw(denied))
        with pytest.raises(DatasetError, match=r"permission denied\. Allow yourself"):
            read_image(tmp_path / "a.png")

    def test_a_disk_that_fails(self, tmp_path, monkeypatch):
        Image.fromarray(RGB).save(tmp_path / "a.png")
        broken = OSError(5, "Input/output error")
        monkeypatch.setattr(Image, "open", lambda path: (_ for _ in ()).throw(broken))
        with pytest.raises(DatasetError, match=r"'Input/output error'\. Look after the disk"):
            read_image(tmp_path / "a.png")

    def test_a_panorama(self, tmp_path, monkeypatch):
        Image.fromarray(RGB).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(DatasetError, match=r"\(24 pixels\) exceeds limit.*make it smaller"):
            read_image(tmp_path / "a.png")

    def test_no_pixels(self, tmp_path):
        (tmp_path / "a.ppm").write_bytes(b"P6 0 4 255\n")
        with pytest.raises(DatasetError, match="cannot read the image"):
            read_image(tmp_path / "a.ppm")

    def test_another_library_cannot_fill_up_with_gray(self, tmp_path, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        (tmp_path / "a.jpg").write_bytes(jpeg()[:900])
        with pytest.raises(DatasetError, match="truncated"):
            read_image(tmp_path / "a.jpg")
        assert ImageFile.LOAD_TRUNCATED_IMAGES  # theirs again

    @pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "jp2"])
    def test_damage_anywhere_is_our_error_or_an_image(self, suffix, tmp_path):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(RGB).resize((32, 32)).save(path)
        whole, random = path.read_bytes(), np.random.default_rng(1)
        refused = 0
        for _ in range(60):
            content = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for place in random.integers(0, len(content), 3):
                content[place] = random.integers(256)
            path.write_bytes(content)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assert read_image(path).mode == "RGB"
                except DatasetError:
                    refused += 1
        assert refused > 10


class TestMasks:
    def test_labels(self, tmp_path):
        labels = RANDOM.integers(0, 9, (6, 4), np.uint8)
        Image.fromarray(labels).save(tmp_path / "a.png")
        assert (read_mask(tmp_path / "a.png") == labels).all()

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0\0"])
    def test_a_damaged_one(self, content, tmp_path):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(DatasetError, match=r"cannot read the image .*a\.png"):
            read_mask(tmp_path / "a.png")

    def test_a_photograph_is_none(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "a.png")
        with pytest.raises(DatasetError, match="mode is 'RGB', expected 'L' or 'P'"):
            read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("tail", [b"", bytes(100), b"a trailer" + bytes(100)])
def test_zeros_count_where_pixels_should_be(tail, tmp_path):
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read_image(path).size == (64, 64)
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    with pytest.raises(DatasetError, match=r"JPEG and damaged .zeros in place of its end"):
        read_image(path)
