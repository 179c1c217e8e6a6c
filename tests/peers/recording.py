"""Holds recorder/python/gpudeck_recording.py against what gpudeck itself reads.

    recording.py MODULES DIRECTORY      with NAME.csv, an export, beside NAME.gdk or the directory NAME, for each recording
"""

import collections
import csv
import io
import math
import sys
import warnings
from pathlib import Path

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import gpudeck_recording as reader


def same(what, found, expected):
    assert found == expected, f"{what}: found {found!r}, expected {expected!r}"


def table(path, expected):
    """Every row, to the character; the catalogue's columns are not the reader's."""
    out = io.StringIO()
    reader.main(path, out)
    found = list(csv.DictReader(io.StringIO(out.getvalue()), strict=True))
    for number, (row, told) in enumerate(zip(found, expected)):
        same(f"{path}, row {number}", row, {name: told[name] for name in row})
    same(f"{path}, rows", len(found), len(expected))
    return collections.Counter(row["quality"] for row in found)


def forms(block):
    """Which kinds of column and which transforms a block has."""
    yield from zip(block.kind.tolist(), block.transform.tolist())


def columns(path, bursts):
    """Each series alone, as arrays, is what the Frames have of it."""
    by_series = collections.defaultdict(list)
    for frame in reader.frames(path, bursts):
        assert frame.get("burst", False) == bursts, frame
        for entity, metric, value in frame["samples"]:
            by_series[entity, metric].append((frame["at"], *reader.cells(value)))
    for key, rows in by_series.items():
        found = reader.series(path, *key, bursts)
        same(f"{path}, {key}", len(found.value), len(rows))
        for row, (at, value, quality, why, _) in enumerate(rows):
            same(key, str(found.quality[row]), quality)
            for name, clock in (("mono_ns", found.mono_ns), ("real_ns", found.time.view("i8"))):
                same(key, None if clock.mask[row] else int(clock[row]), at.get(name))
            same(key, bool(found.value.mask[row]), value is None)
            same(key, None if found.age_ns.mask[row] else int(found.age_ns[row]), why if quality == "stale" else None)
            if value is not None:
                one = found.value[row]
                one = one.item() if hasattr(one, "item") else one
                assert type(one) is type(value) and (one == value or math.isnan(one)), (key, row, one, value)
    return len(by_series)


warnings.simplefilter("always", reader.Damage)
qualities, series, burst, used = collections.Counter(), 0, 0, set()
for exported in sorted(Path(sys.argv[2]).glob("*.csv")):
    recording = exported.with_suffix(".gdk") if exported.with_suffix(".gdk").exists() else exported.with_suffix("")
    damaged = exported.stem.startswith("damaged")
    with warnings.catch_warnings(record=True) as told, open(exported, newline="", encoding="utf-8") as file:
        qualities += table(recording, list(csv.DictReader(file, strict=True)))
    same(f"{recording} is damaged", bool(told), damaged)
    if not damaged:
        used.update(reader.walk(recording, forms, lambda frame: ()))
        series += columns(recording, False)
        burst += columns(recording, True)
assert {"good", "stale", "unsupported", "denied", "stuck", "lost"} <= set(qualities) and series and burst, (qualities, burst)
kinds, transforms = (set(each) for each in zip(*used))
assert kinds == set(range(6)) and transforms == set(range(7)), f"not put to the test: {kinds}, {transforms}"
for data in (b"", b"123456789", bytes(range(256)) * 64 + b"odd"):
    whole, cut = reader.crc32c(data), len(data) // 3
    same("crc32c in two parts", reader.crc32c(data[cut:], reader.crc32c(data[:cut])), whole)
same("crc32c", reader.crc32c(b"123456789"), 0xE3069283)
print(f"agreed: {dict(qualities)}, {series} series, {burst} in bursts")
