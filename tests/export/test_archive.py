"""A model as a zip file: there and back, and what a stranger may put into such a file."""

import json
import pickle
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import save_small_model, write_image

from c2fnas.errors import UserError
from c2fnas.export.archive import pack
from c2fnas.inference.model import load_model
from c2fnas.inference.package import CARD, MEMBERS, PLAN, SUMS, WEIGHTS, load_package
from c2fnas.inference.pretrained import model_folders
from c2fnas.inference.unpacking import unpack

DESIGN = "architecture.json"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    save_small_model(folder)
    return folder


@pytest.fixture(scope="module")
def archive(model: Path) -> Path:
    """The package as a zip file."""
    pack(model, model.with_name("model.zip"))
    return model.with_name("model.zip")


def content(folder: Path) -> Files:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def summed(files: Files) -> Files:
    """The same files with sums that are right."""
    lines = [f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files) if name not in (SUMS, CARD)]
    return {**files, SUMS: "".join(lines).encode()}


def zipped(path: Path, files: Files, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file of ``files``, made by other hands than ours."""
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def refused(archive: Path, folder: Path, why: str) -> None:
    """See that an import says why it refuses, and leaves nothing anywhere."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(UserError, match=why) as caught:
        unpack(archive, folder)
    assert str(archive) in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


def test_a_model_comes_back_as_it_went(model: Path, archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "deep" / "copy")
    assert content(tmp_path / "deep" / "copy") == content(model)
    again = load_package(tmp_path / "deep" / "copy")
    x = torch.randn(1, 1, 16, 16, 17)
    assert torch.equal(again.network(x), load_package(model).network(x))
    assert again.checksum == load_package(model).checksum


def test_the_same_model_makes_the_same_bytes(model: Path, archive: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy", copy_function=shutil.copy)  # other times of change
    pack(tmp_path / "copy", tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == archive.read_bytes()


def test_other_hands_may_zip_a_model_without_its_card(model: Path, tmp_path: Path) -> None:
    files = {name: data for name, data in content(model).items() if name != CARD}
    unpack(zipped(tmp_path / "other.zip", files), tmp_path / "out")
    assert content(tmp_path / "out") == files


def test_nothing_is_replaced(model: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out")
    with pytest.raises(UserError, match="something already"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(UserError, match="something already"):
        pack(model, archive)


def test_a_damaged_model_is_not_packed(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        pack(tmp_path / "model", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil",
        "a/../../evil",
        "..\\evil",
        "C:\\evil",
        "model/plan.json",
        "plan.json/",
        "./plan.json",
        "PLAN.JSON",
        "weights.pt",
        "data.pkl",
        "conftest.py",
        "plan.json\n",
    ],
)
def test_any_other_name_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "evil.zip", {**content(model), name: b"x"}), tmp_path / "in" / "out", "none of the files")


def test_a_name_cut_short_at_a_zero_is_refused(model: Path, tmp_path: Path) -> None:
    zipped(tmp_path / "evil.zip", {**content(model), "plan.json#/../evil": b"x"})
    data = (tmp_path / "evil.zip").read_bytes().replace(b"plan.json#", b"plan.json\0")
    (tmp_path / "evil.zip").write_bytes(data)
    refused(tmp_path / "evil.zip", tmp_path / "out", "twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFDIR])
def test_links_and_devices_are_refused(model: Path, tmp_path: Path, kind: int) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        for name, data in content(model).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o777) << 16 if name == CARD else 0
            file.writestr(info, b"/etc/passwd" if name == CARD else data)
    refused(tmp_path / "evil.zip", tmp_path / "out", "link or a device")


def test_a_file_twice_is_refused(model: Path, tmp_path: Path) -> None:
    zipped(tmp_path / "evil.zip", content(model))
    with zipfile.ZipFile(tmp_path / "evil.zip", "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(PLAN, b"{}")
    refused(tmp_path / "evil.zip", tmp_path / "out", "twice")


@pytest.mark.parametrize("name", [DESIGN, PLAN, WEIGHTS])
def test_a_wrong_checksum_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    data = content(model)[name]
    changed = data[:-1] + bytes([data[-1] ^ 1]) if name == WEIGHTS else data + b" "  # a bit of a weight; sound JSON
    refused(zipped(tmp_path / "evil.zip", {**content(model), name: changed}), tmp_path / "out", f"{name}.*SHA-256")


@pytest.mark.parametrize("name", [DESIGN, PLAN, WEIGHTS, SUMS])
def test_a_missing_file_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    files = {each: data for each, data in content(model).items() if each != name}
    refused(zipped(tmp_path / "evil.zip", files), tmp_path / "out", name)


@pytest.mark.parametrize("name", [CARD, PLAN, DESIGN, SUMS, WEIGHTS])
def test_a_bomb_is_refused_by_what_it_declares(model: Path, tmp_path: Path, name: str) -> None:
    files = summed({**content(model), name: bytes(64 << 20)}) if name != SUMS else {**content(model), SUMS: bytes(9000)}
    bomb = zipped(tmp_path / "bomb.zip", files)
    assert bomb.stat().st_size < 1 << 20
    refused(bomb, tmp_path / "out", "far more than such a file needs")


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_bomb_that_declares_little_writes_little(
    model: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = len(content(model)[WEIGHTS]) if name == WEIGHTS else 1000
    bomb = zipped(tmp_path / "bomb.zip", summed({**content(model), name: bytes(64 << 20)}))
    data = bomb.read_bytes()
    assert data.count(struct.pack("<L", 64 << 20)) == 2  # before the file, and in the directory
    bomb.write_bytes(data.replace(struct.pack("<L", 64 << 20), struct.pack("<L", declared)))
    written: list[int] = []
    copy = shutil.copyfileobj

    def counted(source: object, target: object, length: int) -> None:
        try:
            copy(source, target, length)  # type: ignore[misc]
        finally:
            written.append(target.tell())  # type: ignore[attr-defined]

    monkeypatch.setattr("c2fnas.inference.unpacking.shutil.copyfileobj", counted)
    refused(bomb, tmp_path / "out", "damaged zip file")
    assert max(written) <= max(declared, 1 << 20)


def test_weights_of_another_size_are_refused_before_they_are_written(model: Path, tmp_path: Path) -> None:
    files = summed({**content(model), WEIGHTS: content(model)[WEIGHTS] + bytes(3 << 20)})
    evil = zipped(tmp_path / "evil.zip", files, zipfile.ZIP_STORED)
    refused(evil, tmp_path / "out", "but the weights of architecture.json take")


@pytest.mark.parametrize("width", [2.0**20, 1e300])
def test_an_architecture_that_no_memory_holds_is_refused(model: Path, tmp_path: Path, width: float) -> None:
    design = json.loads(content(model)[DESIGN]) | {"width": width}
    files = summed({**content(model), DESIGN: json.dumps(design).encode()})
    refused(zipped(tmp_path / "evil.zip", files), tmp_path / "out", "take|no network")


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_planted_pickle_works_where_pickles_are_read(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Planted(tmp_path / "planted")))  # noqa: S301  what the tests below would notice
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize("form", ["pickle", "torch", "padded"])
@pytest.mark.parametrize("name", [WEIGHTS, PLAN, DESIGN])
def test_a_pickle_under_a_models_name_is_never_read(model: Path, tmp_path: Path, name: str, form: str) -> None:
    planted = tmp_path / "planted"
    size = len(content(model)[name])
    data = pickle.dumps(Planted(planted))
    if form == "torch":
        torch.save({"weights": Planted(planted)}, tmp_path / "evil.pt")
        data = (tmp_path / "evil.pt").read_bytes()
    elif form == "padded":  # to the size that the architecture needs
        data = data.ljust(size, b"\0")
    files = summed({**content(model), name: data})
    refused(zipped(tmp_path / "evil.zip", files, zipfile.ZIP_STORED), tmp_path / "out", name)
    assert not planted.exists()


@pytest.mark.parametrize("name", [DESIGN, PLAN])
def test_json_without_an_end_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    files = summed({**content(model), name: b"[" * 16000})
    refused(zipped(tmp_path / "evil.zip", files), tmp_path / "out", "damaged zip file|JSON")


def test_two_designs_are_refused(model: Path, tmp_path: Path) -> None:
    files = {**content(model), "network.json": b'{"network": "vnet", "width": 1}'}
    refused(zipped(tmp_path / "evil.zip", files), tmp_path / "out", "one of architecture.json and network.json")


def test_unusual_compression_and_encryption_are_refused(model: Path, archive: Path, tmp_path: Path) -> None:
    refused(zipped(tmp_path / "lzma.zip", content(model), zipfile.ZIP_LZMA), tmp_path / "out", "unusual")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # of the first file, in the directory
    (tmp_path / "secret.zip").write_bytes(data)
    refused(tmp_path / "secret.zip", tmp_path / "out", "encrypted")


@pytest.mark.parametrize("flag", [0x20, 0x40])
def test_patched_data_and_strong_encryption_are_refused(archive: Path, tmp_path: Path, flag: int) -> None:
    data = bytearray(archive.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + at] |= flag
    (tmp_path / "evil.zip").write_bytes(data)
    refused(tmp_path / "evil.zip", tmp_path / "out", "unusual")


def test_a_name_before_the_file_that_is_no_text_is_refused(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[7] |= 0x08  # of the first file: its name is UTF-8
    data[30] = 0xFF
    (tmp_path / "evil.zip").write_bytes(data)
    refused(tmp_path / "evil.zip", tmp_path / "out", "damaged zip file")


def test_a_file_that_begins_beyond_all_files_is_refused(archive: Path, tmp_path: Path) -> None:
    """A directory that sends the reader, by its 64-bit field, to where no file reaches."""
    data = archive.read_bytes()
    end, first = data.rindex(b"PK\x05\x06"), data.index(b"PK\x01\x02")
    name = struct.unpack("<H", data[first + 28 : first + 30])[0]
    entry = bytearray(data[first : first + 46 + name])
    entry[30:32], entry[42:46] = struct.pack("<H", 12), b"\xff" * 4
    entry += struct.pack("<HHQ", 1, 8, 1 << 63)
    tail = bytearray(data[end:])
    tail[12:16] = struct.pack("<L", struct.unpack("<L", tail[12:16])[0] + 12)
    (tmp_path / "evil.zip").write_bytes(data[:first] + entry + data[first + 46 + name : end] + tail)
    refused(tmp_path / "evil.zip", tmp_path / "out", "damaged zip file")


def test_a_patch_that_no_memory_holds_is_refused(model: Path, tmp_path: Path) -> None:
    plan = json.loads(content(model)[PLAN]) | {"patch_size": [4096, 4096, 16]}
    files = summed({**content(model), PLAN: json.dumps(plan).encode()})
    refused(zipped(tmp_path / "evil.zip", files), tmp_path / "out", "patch of 268,435,456 voxels")


def test_what_is_no_zip_file_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 and then nothing")
    refused(tmp_path / "no.zip", tmp_path / "out", "not a zip file")
    (tmp_path / "half.zip").write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(tmp_path / "half.zip", tmp_path / "out", "not a zip file")
    refused(tmp_path / "absent.zip", tmp_path / "out", "cannot be read")
    refused(tmp_path, tmp_path / "out", "cannot be read")


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_refused_or_harmless(
    model: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed anywhere but in the weights' middle, where nothing but a checksum can tell."""
    folder = tmp_path_factory.mktemp("damaged")
    whole = bytearray(archive.read_bytes())
    weights = whole.index(content(model)[WEIGHTS][:200])
    length = len(content(model)[WEIGHTS])
    places = [place for place in range(len(whole)) if not weights + 200 < place < weights + length]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    (folder / "damaged.zip").write_bytes(whole)
    try:
        unpack(folder / "damaged.zip", folder / "out")
    except UserError:
        assert [path.name for path in folder.iterdir()] == ["damaged.zip"]
    else:
        found = content(folder / "out")
        assert {**content(model), CARD: b""} == {**found, CARD: b""}
        assert set(found) <= set(MEMBERS)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two models that vote, as `export --format model` leaves it."""
    folder = tmp_path_factory.mktemp("voting") / "models"
    for fold in (0, 1):
        save_small_model(folder / f"fold-{fold}", seed=fold)
    (folder / CARD).write_text("# Two models\n")
    return folder


def voting_content(folder: Path) -> Files:
    """Every file of a folder and of those in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("half", [False, True])
def test_models_that_vote_go_as_one_file(votes: Path, tmp_path: Path, half: bool) -> None:
    folders = model_folders([votes])
    pack(folders, tmp_path / "votes.zip", half=half)
    pack(folders, tmp_path / "again" / "votes.zip", half=half)
    assert (tmp_path / "votes.zip").read_bytes() == (tmp_path / "again" / "votes.zip").read_bytes()
    unpack(tmp_path / "votes.zip", tmp_path / "out")
    if not half:
        assert voting_content(tmp_path / "out") == voting_content(votes)
    array, options = write_image(tmp_path / "a.nii.gz"), {"affine": np.eye(4), "device": "cpu", "precision": "fp32"}
    expected = load_model(tmp_path / "out").predict(array, **options)
    loaded = load_model(tmp_path / "votes.zip")
    assert len(loaded.packages) == 2
    assert np.array_equal(loaded.predict(array, **options), expected)
    if not half:
        assert np.array_equal(load_model(votes).predict(array, **options), expected)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"plan.json": b"{}"}, "belongs to no fold"),
        ({"fold-1/../fold-2/plan.json": b"{}"}, "none of the files"),
        ({"fold-x/plan.json": b"{}"}, "none of the files"),
        ({"fold-1/deep/plan.json": b"{}"}, "none of the files"),
        ({"fold-2/README.md": b"# x"}, "no plan.json"),
        ({"fold-1/weights.safetensors": b"x" * 5}, "weights.safetensors"),
    ],
)
def test_a_strangers_file_of_several_models_is_refused_alike(
    votes: Path, tmp_path: Path, change: Files, why: str
) -> None:
    refused(zipped(tmp_path / "evil.zip", {**voting_content(votes), **change}), tmp_path / "in" / "out", why)


def test_a_network_of_every_case_goes_with_the_others(votes: Path, tmp_path: Path) -> None:
    folder, _ = model_folders([votes])
    shutil.copytree(votes, tmp_path / "votes")
    shutil.copytree(folder, tmp_path / "votes" / "fold-every-case")
    pack(model_folders([tmp_path / "votes"]), tmp_path / "votes.zip")
    assert len(load_model(tmp_path / "votes.zip").packages) == 3
