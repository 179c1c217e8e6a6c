"""Reads recordings of gpudeck, formats 1 and 2, with numpy, zstandard and msgpack alone.

    python gpudeck_recording.py PATH                    every sample as CSV
    frames(path)                                        every Frame, a dict as docs/format.md has it
    series(path, "gpu:GPU-…", "gpu.power")              one series as numpy arrays; other columns are not decoded

PATH is a segment, with its journals beside it, or a directory of segments. What is damaged is skipped and warned of.
docs/format.md and docs/format-blocks.md describe the bytes.
"""

import collections
import csv
import datetime
import io
import os
import re
import struct
import sys
import warnings

import msgpack
import numpy as np
import zstandard

PREFIX, RECORD, SECTION = struct.Struct("<8sHHI16sI"), struct.Struct("<BBHII"), struct.Struct("<4sBBHIIIQQII")
SCHEMA, CONTEXT, BLOCK, BURST, DIRECTORY = range(1, 6)
FRAMES, SHAPES, COLUMNS, SUMMARY, QUALITY, VALUES, EXTRAS, CHUNK = range(1, 9)
WORDS = [None, "stale", "unsupported", "denied", "stuck", "lost", None, "stale"]
INCOMPATIBLE, MOST, I64 = 0x80, 64 << 20, np.dtype("<i8")
Series = collections.namedtuple("Series", "mono_ns time value quality age_ns")


class Damage(UserWarning):
    """A stretch of a recording that could not be read."""


BAD = (ValueError, LookupError, TypeError, OverflowError, struct.error, zstandard.ZstdError, msgpack.UnpackException)

# ---- checksums and compression ----

TABLE = np.arange(256, dtype=np.uint32)
for _ in range(8):
    TABLE = (TABLE >> np.uint32(1)) ^ np.where(TABLE & 1, np.uint32(0x82F63B78), np.uint32(0))
PLAIN, LANE = TABLE.tolist(), 256


def through(registers, columns):
    """CRC registers, each led through its own bytes."""
    for column in columns:
        registers = TABLE[(registers ^ column) & 0xFF] ^ (registers >> 8)
    return registers


# What a lane of zeros makes of each bit of a register; the rest follows, as a CRC is linear.
BITS = through(np.uint32(1) << np.arange(32, dtype=np.uint32), np.zeros((LANE, 32), np.uint32)).tolist()
BYTES = [[0] * 256 for _ in range(4)]
for place, bits in ((place, bits) for place in range(4) for bits in range(256)):
    for bit in (bit for bit in range(8) if bits >> bit & 1):
        BYTES[place][bits] ^= BITS[8 * place + bit]


def crc32c(data, crc=0):
    """CRC32C of bytes, continued from that of bytes before them. Long ones are led through side by side, in lanes."""
    crc ^= 0xFFFFFFFF
    lanes = len(data) // LANE if len(data) > 8192 else 0
    if lanes:
        table = np.frombuffer(data, np.uint8, lanes * LANE).reshape(lanes, LANE).T.astype(np.uint32, order="C")
        for register in through(np.zeros(lanes, np.uint32), table).tolist():
            a, b, c, d = crc & 0xFF, crc >> 8 & 0xFF, crc >> 16 & 0xFF, crc >> 24
            crc = BYTES[0][a] ^ BYTES[1][b] ^ BYTES[2][c] ^ BYTES[3][d] ^ register
    for byte in bytes(data[lanes * LANE:]):
        crc = PLAIN[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def unzstd(data, most=MOST):
    """One zstd frame, which may not become longer than told."""
    found = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(data)).read(most + 1)
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most} bytes")
    return found


def unpack(data):
    return msgpack.unpackb(data, strict_map_key=False)


# ---- blocks ----


def numbers(data, encoding, count):
    """A stream of numbers, as int64."""
    if encoding == 1:
        (length,) = struct.unpack_from("<I", data)
        tokens = data[4:4 + length] if length == count else unzstd(data[4:4 + length], count)
        token = np.frombuffer(tokens, np.uint8, count).astype(np.int64)
        width = np.where(token < 16, 0, (token - 16) // 4 + 2)
        at = np.cumsum(width) - width
        stream = np.frombuffer(data[4 + length:] + bytes(16), np.uint8)
        if count and at[-1] + width[-1] > 8 * (len(stream) - 16):
            raise ValueError("bits are missing")
        windows = np.lib.stride_tricks.sliding_window_view(stream, 8)
        low, shift = windows[at >> 3].view("<u8")[:, 0], (at & 7).astype(np.uint64)
        high = stream[(at >> 3) + 8].astype(np.uint64) << (np.uint64(63) - shift) << np.uint64(1)
        size = width.astype(np.uint64)
        rest = (low >> shift | high) & ((np.uint64(1) << size) - np.uint64(1))
        top = ((4 + (token & 3)).astype(np.uint64)) << size
        u = np.where(token < 16, token.astype(np.uint64), top | rest)
    elif encoding == 2:
        u, at = np.zeros(count, np.uint64), 1
        for plane in range(data[0]):
            (length,) = struct.unpack_from("<I", data, at)
            part, at = data[at + 4:at + 4 + length], at + 4 + length
            part = part if length == count else unzstd(part, count)
            u |= np.frombuffer(part, np.uint8, count).astype(np.uint64) << np.uint64(8 * plane)
    else:
        raise ValueError(f"numbers in encoding {encoding}")
    return (u >> np.uint64(1)).view(I64) ^ -(u & np.uint64(1)).view(I64)


class Block:
    """Some minutes of Frames as columns. Chunks are decoded when they are needed."""

    def __init__(self, payload, places, ids):
        self.payload, self.ids = payload, ids
        (length,) = struct.unpack_from("<I", payload)
        self.index, at, self.streams, self.chunks, self.done = unpack(payload[4:4 + length]), 4 + length, {}, [], {}
        for kind, encoding, _, first, columns, count, size, check in struct.iter_unpack("<BBHIIIII", self.index["streams"]):
            stream = (at, size, encoding, count, check)
            if kind == CHUNK:
                self.chunks.append((first, columns, stream))
            else:
                self.streams[kind] = stream
            at += size
        decoded = sum(stream[3] * 8 for stream in [*self.streams.values(), *(chunk[2] for chunk in self.chunks)])
        count, samples = self.index["frames"], self.index["samples"]
        if decoded > 256 << 20 or count > 1 << 20 or samples > 1 << 24:
            raise ValueError("more is announced than a block may hold")
        self.probe, self.boot, self.shape, self.flags, seq, mono, real, self.took = self.stream(FRAMES).reshape(8, count)
        self.seq, self.mono = np.cumsum(seq + 1).view(np.uint64), np.cumsum(mono)
        self.real = np.cumsum(real) + self.mono
        place, code, self.scale, step, self.center = self.stream(COLUMNS).reshape(5, -1)
        self.kind, self.transform, self.step = code & 7, code >> 3, np.cumsum(step)
        self.first = np.cumsum(self.stream(SUMMARY).reshape(4, -1)[0])
        self.keys = [places[place] for place in np.cumsum(place).tolist()]
        column = {place: column for column, place in enumerate(np.cumsum(place).tolist())}
        shapes = self.stream(SHAPES)
        lengths, rest = shapes[1:1 + shapes[0]], shapes[1 + shapes[0]:]
        ends = np.cumsum(lengths)
        lists = [np.cumsum(rest[end - length:end]) - 1 for length, end in zip(lengths, ends)]
        self.shapes = [np.array([column[place] for place in shape.tolist()], np.int64) for shape in lists]
        # How often each shape occurs, and so how many rows each column has.
        often = np.bincount(self.shape, minlength=len(self.shapes))
        self.rows = np.zeros(len(self.keys), np.int64)
        for shape, times in zip(self.shapes, often):
            self.rows += times * np.bincount(shape, minlength=len(self.keys))
        self.values = unpack(self.stream(VALUES)) if VALUES in self.streams else []
        self.runs = collections.defaultdict(list)
        runs = self.stream(QUALITY).reshape(6, -1) if QUALITY in self.streams else np.zeros((6, 0), np.int64)
        of, argument, behind, before = np.cumsum(runs[0]), np.cumsum(runs[4]).view(np.uint64), 0, None
        for column, gap, more, code, why, value in np.array([of, *runs[1:4], argument.view(I64), runs[5]]).T.tolist():
            row = gap + (behind if column == before else 0)
            before, behind = column, row + more + 1
            if not 0 <= row < behind <= self.rows[column]:
                raise ValueError("a quality of no row")
            self.runs[column].append((row, behind, code, why & (1 << 64) - 1, value))

    def stream(self, of):
        at, size, encoding, count, check = self.streams[of] if isinstance(of, int) else of
        data = self.payload[at:at + size]
        if len(data) != size or crc32c(data) != check:
            raise ValueError("a stream's checksum does not fit")
        if encoding in (3, 4):
            return unzstd(data, count) if encoding == 3 else data
        return numbers(data, encoding, count)

    def decode(self, wanted):
        """The numbers of the chunk's columns up to the one that is wanted."""
        first, columns, stream = next(chunk for chunk in self.chunks if 0 <= wanted - chunk[0] < chunk[1])
        coded = [column for column in range(first, first + columns) if self.transform[column] > 1]
        written = self.stream(stream).reshape(len(coded), self.rows[wanted] - 1)
        means, taught = np.zeros((2, written.shape[1]), np.int64), [0, 0]
        for column, v in zip(coded, written):
            transform = self.transform[column]
            of = int(transform > 3)
            x = v + (means[of] + 128 >> 8) if transform in (3, 5) else np.cumsum(v) if transform == 6 else v
            k = np.cumsum(x) if of else x + self.center[column]
            taught[of] += 1
            means[of] += ((x << 8) - means[of]) >> min(5, taught[of].bit_length() - 1)
            self.done[column] = self.first[column] + self.step[column] * np.concatenate([[0], k])

    def numbers(self, column):
        transform, center, first = self.transform[column], self.center[column], self.first[column:column + 1]
        if transform == 0:
            return np.repeat(first, self.rows[column])
        if transform == 1:
            like = self.numbers(column - (int(center) >> 1))
            return first + (like[:1] - like if center & 1 else like - like[:1])
        if column not in self.done:
            self.decode(column)
        return self.done[column]

    def column(self, column):
        """Its rows: values (anything where there is none), words for their quality, ages or instants; calls by row."""
        number, kind, scale = self.numbers(column), self.kind[column], int(self.scale[column])
        value = {
            0: lambda: np.zeros(len(number)),
            1: lambda: number.view(np.uint64),
            2: lambda: number / 10.0**scale if scale < 32 else number * (1.0 / 10.0 ** (scale - 32)),
            3: lambda: np.where(number < 0, number ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), number).view(np.float64),
            4: lambda: number != 0,
            5: lambda: np.array([self.values[place] for place in number.tolist()] + [None], object)[:-1],
        }[int(kind)]()
        quality, argument, calls = np.full(len(number), "good", "U11"), np.zeros(len(number), np.uint64), {}
        for row, end, code, why, place in self.runs.get(column, ()):
            quality[row:end], argument[row:end] = WORDS[code] or "good", why
            if code in (6, 7):
                value = value.astype(object)
                value[row:end] = self.values[place]
            elif code == 4:
                calls.update(dict.fromkeys(range(row, end), self.values[place]))
        return value, quality, argument, calls

    def series(self, key):
        """The parts of a series; one that went and came again has several columns."""
        for column in (column for column, name in enumerate(self.keys) if name == key):
            often = np.array([np.count_nonzero(shape == column) for shape in self.shapes], np.int64)
            rows = np.repeat(np.arange(len(self.seq)), often[self.shape])
            value, quality, argument, _ = self.column(column)
            yield self.mono.view(np.uint64)[rows], self.real[rows], self.flags[rows], value, quality, argument

    def frames(self):
        extras, readings = {extra["frame"]: extra for extra in unpack(self.stream(EXTRAS))}, []
        for column, name in enumerate(self.keys):
            value, quality, argument, calls = self.column(column)
            rows = zip(value.tolist(), quality.tolist(), argument.tolist())
            readings.append(iter([(*name, reading(*row, calls.get(at))) for at, row in enumerate(rows)]))
        lists = (self.probe, self.boot, self.shape, self.flags, self.seq, self.mono.view(np.uint64), self.real, self.took)
        for at, (probe, boot, shape, flags, seq, mono, real, took) in enumerate(zip(*(each.tolist() for each in lists))):
            frame = {"probe": self.index["probes"][probe], "boot": self.index["boots"][boot], "seq": seq, "took_us": took}
            frame["at"] = {**({"mono_ns": mono} if flags & 1 else {}), **({"real_ns": real} if flags & 2 else {})}
            frame["samples"] = [next(readings[column]) for column in self.shapes[shape].tolist()]
            frame.update((name, value) for name, value in extras.get(at, {}).items() if name != "frame")
            yield {**frame, "burst": True} if flags & 4 else frame


def reading(value, quality, argument, call):
    if quality == "good":
        return value
    more = {"stale": {"stale": [value, argument]}, "stuck": {"stuck": [argument, call]}}
    return {"quality": quality, **more.get(quality, {})}


# ---- files ----


def opened(path, magic):
    """A file's bytes, major version, id, header map, where that ends, and the checksum with which its chain begins."""
    with open(path, "rb") as file:
        data = file.read()
    found, major, _minor, length, ident, check = PREFIX.unpack_from(data)
    if found != magic or check != crc32c(data[:32]):
        raise ValueError("it is not a recording, or its header is damaged")
    if major not in (1, 2):
        raise ValueError(f"format version {major}: a newer reader is needed")
    at, chain = 36 + length + 4, crc32c(data[36:36 + length], crc32c(data[:32]))
    if length > 1 << 20 or struct.unpack_from("<I", data, at - 4)[0] != chain:
        raise ValueError("its header is damaged")
    return data, major, ident.hex(), unpack(data[36:36 + length]), at, chain


class Segment:
    """One segment and its journals. `whole`: it was closed on purpose and nothing of it is damaged."""

    def __init__(self, path):
        self.path, self.ids, self.whole, self.closed = path, {}, True, False
        self.data, self.major, self.id, self.header, self.start, self.chain = opened(path, b"GPUDECK\n")

    def warn(self, path, at, why):
        self.whole = False
        warnings.warn(f"{path}: byte {at}: {why}", Damage, stacklevel=2)

    def named(self, frame):
        """A Frame with its series by name."""
        for told in frame.pop("declares", []):
            key = (told["entity"], told["metric"])
            if self.ids.setdefault(told["id"], key) != key:
                raise ValueError("a series is declared again as something else")
        samples = frame.get("samples", [])
        return {**frame, "samples": [(*self.ids[id], value) for id, value in samples if id in self.ids]}

    def records(self, path, data, at, chain):
        """The Frames of a chain of records, each with whether it is a context."""
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 20).decompressobj()
        while at < len(data):
            try:
                kind, flags, _, length, check = RECORD.unpack_from(data, at)
                payload = data[at + 12:at + 12 + length]
                if length > 16 << 20 or len(payload) < length or check != crc32c(payload, crc32c(data[at:at + 8], chain)):
                    raise ValueError("a record is torn or damaged; what lies behind it cannot be relied on")
                if flags & INCOMPATIBLE:
                    raise ValueError("a newer reader is needed")
                if kind == 3:
                    self.closed = self.closed or path == self.path
                    return
                if kind in (1, 2):
                    yield self.named(unpack(payload)), kind == 2
                elif kind == 4:
                    found = b""
                    for part in range(0, length, 1024):
                        found += stream.decompress(payload[part:part + 1024])
                        if len(found) > MOST:
                            raise ValueError("a record unpacks to too much")
                    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=MOST)
                    unpacker.feed(found)
                    for frame in unpacker:
                        yield self.named(frame), False
            except BAD as why:
                return self.warn(path, at, why)
            at, chain = at + 12 + length, check

    def journals(self):
        folder, name = os.path.split(self.path)
        pattern = re.compile(re.escape(name) + r"\.j(\d+)")
        found = ((pattern.fullmatch(entry), os.path.join(folder, entry)) for entry in os.listdir(folder or "."))
        for _, path in sorted((int(match[1]), path) for match, path in found if match):
            try:
                data, _, _, header, at, chain = opened(path, b"GPUDECKJ")
                if header.get("segment") != self.id:
                    raise ValueError("it belongs to another segment")
            except (*BAD, OSError) as why:
                self.warn(path, 0, why)
                continue
            yield from (frame for frame, context in self.records(path, data, at, chain) if not context)

    def head(self, at):
        """The section that begins here, if one does: kind, flags, payload, sequence numbers; and where it ends."""
        if at + 44 > len(self.data):
            return None
        magic, kind, flags, _, _, length, checked, first, last, check, own = SECTION.unpack_from(self.data, at)
        seed = crc32c(struct.pack("<Q", at), self.chain)
        end = at + 44 + length
        if magic != b"GDKs" or own != crc32c(self.data[at:at + 40], seed) or end > len(self.data) or length > MOST:
            return None
        fits = crc32c(self.data[at + 44:at + 44 + min(checked, length)], seed) == check and not flags & INCOMPATIBLE
        return at, kind, fits, self.data[at + 44:end], first, last, end

    def sections(self):
        """Every section, found from the front; behind damage, the next whose head fits."""
        at = self.start
        while at < len(self.data) and not self.closed:
            found, start = self.head(at), at
            while found is None and at >= 0:
                at = self.data.find(b"GDKs", at + 1)
                found = self.head(at) if at >= 0 else None
            if start != at and (at >= 0 or not next(self.journals(), None)):
                self.warn(self.path, start, "a section is torn or damaged")
            if found is None:
                return
            self.closed, at = found[1] == DIRECTORY, found[-1]
            yield found

    def read(self, of_block, of_frame, bursts=False, context=True):
        """What `of_block` and `of_frame` make of it, in the order of recording."""
        if self.major == 1:
            for frame, is_context in self.records(self.path, self.data, self.start, self.chain):
                if bool(frame.get("burst")) == bursts and (context or not is_context):
                    yield from of_frame(frame)
            return
        sections, places, behind, last_seq = list(self.sections()), {}, 0, 0
        for at, kind, fits, payload, *_ in sections:
            try:
                if kind == SCHEMA and fits:
                    schema = unpack(unzstd(payload))
                    behind = schema.get("first", behind)
                    for told in schema["series"]:
                        self.ids[told["id"]] = places[behind] = (told["entity"], told["metric"])
                        behind += 1
            except BAD as why:
                self.warn(self.path, at, why)
        for at, kind, fits, payload, first, last, _ in sections:
            try:
                if not fits:
                    raise ValueError("a section's checksum does not fit, or only a newer reader knows it")
                if kind == CONTEXT and context and not bursts:
                    for frame in unpack(unzstd(payload)):
                        yield from of_frame(self.named(frame))
                if kind == (BURST if bursts else BLOCK):
                    last_seq = max(last_seq, last)
                    yield from list(of_block(Block(payload, places, self.ids)))
            except BAD as why:
                self.warn(self.path, at, why)
                if kind == (BURST if bursts else BLOCK):
                    for frame in self.journals():
                        if first <= frame["seq"] <= last and bool(frame.get("burst")) == bursts:
                            yield from of_frame(frame)
        if not self.closed:
            for frame in self.journals():
                if frame["seq"] > last_seq and bool(frame.get("burst")) == bursts:
                    last_seq = frame["seq"]
                    yield from of_frame(frame)


def walk(path, of_block, of_frame, bursts=False):
    path, paths = os.fspath(path), [os.fspath(path)]
    if os.path.isdir(path):
        entries = (os.path.join(path, name) for name in os.listdir(path) if name.endswith(".gdk"))
        paths = sorted(entry for entry in entries if os.path.isfile(entry) and not os.path.islink(entry))
    segments, before = [], None
    for each in paths:
        try:
            segments.append(Segment(each))
        except (*BAD, OSError) as why:
            if each == path:
                raise
            warnings.warn(f"{each}: {why}", Damage, stacklevel=2)
    for segment in sorted(segments, key=lambda segment: segment.header.get("ordinal", 0)):
        ordinal = segment.header.get("ordinal", 0)
        yield from segment.read(of_block, of_frame, bursts, context=before is None or before + 1 != ordinal)
        before = ordinal if segment.whole and segment.closed else None


def frames(path, bursts=False):
    """Every Frame, in the order of recording. `samples` are triples: entity, metric, reading."""
    return walk(path, Block.frames, lambda frame: [frame], bursts)


def cells(value):
    """A reading as value, quality, age or instant, call."""
    if not isinstance(value, dict):
        return value, "good", None, None
    stale, stuck = value.get("stale", (None, None)), value.get("stuck", (None, None))
    return stale[0], value["quality"], stale[1] if stale[1] is not None else stuck[0], stuck[1]


def series(path, entity, metric, bursts=False):
    """One series as masked arrays: `mono_ns`, `time`, `value` (whole numbers, doubles, yes and no, or objects), `quality`,
    `age_ns` (of stale ones). What is not known is masked, and is never 0."""
    key, parts = (entity, metric), []

    def of_block(block):
        found = list(block.series(key))
        order = np.argsort(np.concatenate([part[0] for part in found]), kind="stable") if len(found) > 1 else slice(None)
        return [tuple(each[order] for each in joined(found))] if found else []

    def of_frame(frame):
        at = frame["at"]
        flags = ("mono_ns" in at) + 2 * ("real_ns" in at)
        for told in (cells(sample[2]) for sample in frame["samples"] if sample[:2] == key):
            yield at.get("mono_ns", 0), at.get("real_ns", 0), flags, told[0], told[1], told[2] or 0

    single = []

    def flush():
        if single:
            mono, real, flags, value, quality, argument = zip(*single)
            kinds = {type(each) for each in value if each is not None}
            dtype = {int: np.uint64, float: np.float64, bool: np.bool_}.get(*kinds, object) if len(kinds) == 1 else object
            array = np.array([*((each if each is not None or dtype is object else 0) for each in value), None], object)[:-1]
            parts.append((np.array(mono, np.uint64), np.array(real, np.int64), np.array(flags), array.astype(dtype),
                          np.array(quality, "U11"), np.array(argument, np.uint64)))
            single.clear()

    for found in walk(path, of_block, of_frame, bursts):
        if isinstance(found[0], np.ndarray):
            flush()
            parts.append(found)
        else:
            single.append(found)
    flush()
    mono, real, flags, value, quality, argument = joined(parts) if parts else (np.zeros(0, np.int64),) * 4 + (np.zeros(0, "U11"), np.zeros(0))
    known = (quality == "good") | (quality == "stale")
    masked = np.ma.masked_array
    return Series(masked(mono, ~(flags & 1).astype(bool)), masked(real.view("datetime64[ns]"), ~(flags & 2).astype(bool)),
                  masked(value, ~known), quality, masked(argument, quality != "stale"))


def joined(parts):
    """Parts one behind the other. Values that are not all of one kind are objects."""
    kinds = {part[3].dtype for part in parts if np.isin(part[4], ("good", "stale")).any()}
    dtype = kinds.pop() if len(kinds) == 1 else object
    told = [tuple(each.astype(dtype) if place == 3 and (dtype is object or each.dtype != dtype) else each for place, each in enumerate(part)) for part in parts]
    return [np.concatenate(each) for each in zip(*told)]


def shown(text):
    """Text from outside, harmless in a terminal and a spreadsheet."""
    text = "".join(each if each.isprintable() else chr(0x2400 + ord(each)) if ord(each) < 32 else f"\\u{{{ord(each):x}}}" for each in text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def main(path, out):
    table = csv.writer(out)
    table.writerow("time mono_ns boot seq probe entity metric value text quality age_ns since_mono_ns call".split())
    for frame in frames(path):
        at, time = frame["at"], ""
        if "real_ns" in at:
            time = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=at["real_ns"] // 1000)
            time = time.isoformat(timespec="microseconds") + "Z"
        start = [time, at.get("mono_ns", ""), frame.get("boot", ""), frame.get("seq", 0), frame["probe"]]
        for entity, metric, told in frame["samples"]:
            value, quality, why, call = cells(told)
            text = shown(value) if isinstance(value, str) else ""
            number = "" if value is None or text or isinstance(value, str) else int(value) if isinstance(value, bool) else value
            if isinstance(number, float):
                number = "NaN" if number != number else np.format_float_positional(number, trim="-")
            why = "" if why is None else why
            ages = (why, "") if quality == "stale" else ("", why)
            table.writerow([*start, shown(entity), shown(metric), number, text, quality, *ages, shown(call or "")])


if __name__ == "__main__":
    main(sys.argv[1], sys.stdout)
