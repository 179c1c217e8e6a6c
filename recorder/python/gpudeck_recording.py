"""Reads recordings of gpudeck, formats 1 and 2, with numpy, zstandard and msgpack; docs/format.md describes the bytes.

    python gpudeck_recording.py PATH              every sample as CSV
    frames(path)                                  every Frame: a dict, its samples as (entity, metric, reading)
    series(path, "gpu:GPU-…", "gpu.power")        one series as numpy arrays; no chunk but its own is decoded

PATH is a segment, with its journals beside it, or a directory of segments. What is damaged is skipped and warned of.
"""
import collections, csv, datetime, io, itertools, os, re, struct, sys, warnings  # noqa: E401

import msgpack
import numpy as np
import zstandard

PREFIX, RECORD, SECTION = struct.Struct("<8sHHI16sI"), struct.Struct("<BBHII"), struct.Struct("<4sBBHIIIQQII")
SCHEMA, CONTEXT, BLOCK, BURST, DIRECTORY = range(1, 6)
FRAMES, SHAPES, COLUMNS, SUMMARY, QUALITY, VALUES, EXTRAS, CHUNK = range(1, 9)
QUALITIES = ["good", "stale", "unsupported", "denied", "stuck", "lost", "good", "stale"]
MOST = 64 << 20  # bytes that anything but a block may unpack to
BAD = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError, struct.error, zstandard.ZstdError,
       msgpack.UnpackException)
Series = collections.namedtuple("Series", "mono_ns time value quality age_ns")


class Damage(UserWarning):
    """A stretch of a recording that could not be read."""


TABLE = np.arange(256, dtype=np.uint32)
for _ in range(8):
    TABLE = TABLE >> 1 ^ np.where(TABLE & 1, np.uint32(0x82F63B78), np.uint32(0))
PLAIN, LANE = TABLE.tolist(), 256


def through(registers, columns):
    """CRC registers, each led through its own bytes."""
    for column in columns:
        registers = TABLE[(registers ^ column) & 0xFF] ^ registers >> 8
    return registers


# What a lane of zeros makes of each byte of a register. A CRC is linear: the rest of a lane is added to that.
ZEROS = through(np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None], [0] * LANE).tolist()


def crc32c(data, crc=0):
    """CRC32C of bytes, continued from that of the bytes before. Many bytes are led through side by side, in lanes."""
    crc, lanes = crc ^ 0xFFFFFFFF, len(data) // LANE if len(data) > 8192 else 0
    if lanes:
        columns = np.frombuffer(data, np.uint8, lanes * LANE).reshape(lanes, LANE).T.astype(np.uint32, order="C")
        for lane in through(np.zeros(lanes, np.uint32), columns).tolist():
            a, b, c, d = crc.to_bytes(4, "little")
            crc = lane ^ ZEROS[0][a] ^ ZEROS[1][b] ^ ZEROS[2][c] ^ ZEROS[3][d]
    for byte in data[lanes * LANE:]:
        crc = PLAIN[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def unzstd(data, most=MOST):
    """One zstd frame, which may not become longer than told."""
    found = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(data)).read(most + 1)
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most} bytes")
    return found


def unpack(data):
    return msgpack.unpackb(data, strict_map_key=False)


def numbers(data, encoding, count):
    """A stream of numbers, as int64: docs/format-blocks.md, "Encodings"."""
    def part(at):
        (length,) = struct.unpack_from("<I", data, at)
        found = data[at + 4:at + 4 + length]
        return np.frombuffer(found if length == count else unzstd(found, count), np.uint8, count), at + 4 + length

    u = np.zeros(count, np.uint64)
    if encoding == 1:
        tokens, at = part(0)
        stream = np.frombuffer(data[at:] + bytes(16), np.uint8)
        width = np.where(tokens < 16, 0, (tokens.astype(np.int64) - 16) // 4 + 2)
        begin = np.cumsum(width) - width
        if count and begin[-1] + width[-1] > 8 * (len(stream) - 16):
            raise ValueError("bits are missing")
        # A number of up to 61 bits lies in 9 bytes: 8 of them, shifted, and what the ninth has of it.
        low = np.lib.stride_tricks.sliding_window_view(stream, 8)[begin >> 3].view("<u8")[:, 0]
        ninth, width = stream[(begin >> 3) + 8].astype(np.uint64), width.astype(np.uint64)
        shift = (begin & 7).astype(np.uint64)
        bits = (low >> shift | ninth << (63 - shift) << 1) & ((np.uint64(1) << width) - 1)
        u = np.where(tokens < 16, tokens, (4 + (tokens & 3)).astype(np.uint64) << width | bits)
    elif encoding == 2:
        at = 1
        for plane in range(data[0]):
            found, at = part(at)
            u |= found.astype(np.uint64) << np.uint64(8 * plane)
    else:
        raise ValueError(f"numbers in encoding {encoding}")
    return (u >> 1).view(np.int64) ^ -(u & 1).view(np.int64)


class Block:
    """Some minutes of Frames as columns; chunks are decoded when they are needed. `places`: the series by place."""

    def __init__(self, payload, places):
        (length,) = struct.unpack_from("<I", payload)
        self.payload, self.index = payload, unpack(payload[4:4 + length])
        self.streams, self.chunks, self.decoded = {}, [], {}
        at, total, count, table = 4 + length, 0, self.index["frames"], self.index["streams"]
        for kind, encoding, _, first, columns, much, size, check in struct.iter_unpack("<BBHIIIII", table):
            self.streams[kind] = (at, encoding, much, size, check)
            if kind == CHUNK:
                self.chunks.append((first, columns, self.streams.pop(CHUNK)))
            at, total = at + size, total + 8 * much
        if total > 256 << 20 or count > 1 << 20 or self.index["samples"] > 1 << 24:
            raise ValueError("more is announced than a block may hold")
        self.probe, self.boot, self.shape, self.flags, seq, mono, real, self.took = self.stream(FRAMES).reshape(8, count)
        self.seq, mono = np.cumsum(seq + 1).view(np.uint64), np.cumsum(mono)
        self.real, self.mono = np.cumsum(real) + mono, mono.view(np.uint64)
        place, code, self.scale, step, self.center = self.stream(COLUMNS).reshape(5, -1)
        self.kind, self.transform, self.step, place = code & 7, code >> 3, np.cumsum(step), np.cumsum(place).tolist()
        self.first, self.keys = np.cumsum(self.stream(SUMMARY).reshape(4, -1)[0]), [places.get(each) for each in place]
        column_of, shapes = {each: column for column, each in enumerate(place)}, self.stream(SHAPES)
        lengths, rest = shapes[1:1 + shapes[0]], shapes[1 + shapes[0]:]
        lists = (np.cumsum(each) - 1 for each in np.split(rest, np.cumsum(lengths))[:-1])
        self.shapes = [np.array([column_of[each] for each in shape.tolist()], np.int64) for shape in lists]
        often = np.bincount(self.shape, minlength=len(self.shapes))
        rows = (times * np.bincount(shape, minlength=len(place)) for shape, times in zip(self.shapes, often))
        self.rows = sum(rows, np.zeros(len(place), np.int64))
        self.values = unpack(self.stream(VALUES)) if VALUES in self.streams else []
        self.runs = collections.defaultdict(list)
        runs = self.stream(QUALITY).reshape(6, -1) if QUALITY in self.streams else np.zeros((6, 0), np.int64)
        runs[0], runs[4], behind, before = np.cumsum(runs[0]), np.cumsum(runs[4]), 0, None
        for column, gap, more, code, argument, value in runs.T.tolist():
            row = gap + (behind if column == before else 0)
            before, behind = column, row + more + 1
            if not 0 <= row < behind <= self.rows[column]:
                raise ValueError("a quality of no row")
            self.runs[column].append((row, behind, code, argument & (1 << 64) - 1, value))

    def stream(self, of):
        at, encoding, count, size, check = self.streams[of] if isinstance(of, int) else of
        data = self.payload[at:at + size]
        if len(data) != size or crc32c(data) != check:
            raise ValueError("a stream's checksum does not fit")
        return data if encoding == 4 else unzstd(data, count) if encoding == 3 else numbers(data, encoding, count)

    def decode(self, wanted):
        """Decodes the chunk that has this column: what its columns teach each other is in none of them alone."""
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
            means[of] += (x << 8) - means[of] >> min(5, taught[of].bit_length() - 1)
            self.decoded[column] = self.first[column] + self.step[column] * np.concatenate([[0], k])

    def numbers(self, column):
        first, center = self.first[column:column + 1], int(self.center[column])
        if self.transform[column] == 0:
            return np.repeat(first, self.rows[column])
        if self.transform[column] == 1:
            like = self.numbers(column - (center >> 1))
            return first + (like[:1] - like if center & 1 else like - like[:1])
        if column not in self.decoded:
            self.decode(column)
        return self.decoded[column]

    def column(self, column):
        """Of each row the value (anything where there is none), the quality, its age or since when, the call."""
        number, kind, scale = self.numbers(column), self.kind[column], int(self.scale[column])
        if kind == 2:
            number = number / 10.0**scale if scale < 32 else number * (1.0 / 10.0 ** (scale - 32))
        elif kind == 3:
            number = np.where(number < 0, number ^ np.int64(2**63 - 1), number).view(np.float64)
        value = (number.view(np.uint64) if kind == 1 else number != 0 if kind == 4 else number).tolist()
        if kind == 5:
            value = [self.values[place] for place in value]
        quality, argument, call = ["good"] * len(value), [0] * len(value), [None] * len(value)
        for row, end, code, why, place in self.runs.get(column, ()):
            quality[row:end], argument[row:end] = [QUALITIES[code]] * (end - row), [why] * (end - row)
            if code in (4, 6, 7):
                (call if code == 4 else value)[row:end] = [self.values[place]] * (end - row)
        return value, quality, argument, call

    def series(self, key):
        """Rows of a series, in the order of Frames. One that went and came again has several columns."""
        found = []
        for column in (column for column, name in enumerate(self.keys) if name == key):
            often = np.array([np.count_nonzero(shape == column) for shape in self.shapes], np.int64)
            at = np.repeat(np.arange(len(self.seq)), often[self.shape])
            stamps = (each[at].tolist() for each in (self.mono, self.real, self.flags))
            found.extend(zip(at.tolist(), *stamps, *self.column(column)))
        return [row[1:] for row in sorted(found, key=lambda row: row[0])]

    def frames(self):
        extras = {extra.pop("frame"): extra for extra in unpack(self.stream(EXTRAS))}
        samples = [zip(itertools.repeat(name), *self.column(column)) for column, name in enumerate(self.keys)]
        lists = (self.probe, self.boot, self.shape, self.flags, self.seq, self.mono, self.real, self.took)
        probes, boots = self.index["probes"], self.index["boots"]
        for at, row in enumerate(zip(*(each.tolist() for each in lists))):
            probe, boot, shape, flags, seq, mono, real, took = row
            frame = {"probe": probes[probe], "boot": boots[boot], "seq": seq, "took_us": took}
            frame["at"] = {**({"mono_ns": mono} if flags & 1 else {}), **({"real_ns": real} if flags & 2 else {})}
            taken = (next(samples[column]) for column in self.shapes[shape].tolist())
            frame["samples"] = [(*name, reading(*told)) for name, *told in taken if name]
            yield {**frame, **extras.get(at, {}), **({"burst": True} if flags & 4 else {})}


def reading(value, quality, argument, call):
    """As it is in a Frame."""
    more = {"stale": {"stale": [value, argument]}, "stuck": {"stuck": [argument, call]}}
    return value if quality == "good" else {"quality": quality, **more.get(quality, {})}


def cells(told):
    """A reading of a Frame as value, quality, age or since when, call."""
    if not isinstance(told, dict):
        return told, "good", 0, None
    value, age = told.get("stale", (None, 0))
    since, call = told.get("stuck", (age, None))
    return value, told["quality"], since, call


class Segment:
    """A segment and its journals, or (by its magic) a journal. `closed`: on purpose; `whole`: nothing is damaged."""

    def __init__(self, path, magic=b"GPUDECK\n"):
        self.path, self.ids, self.whole, self.closed = path, {}, True, False
        with open(path, "rb") as file:
            self.data = file.read()
        found, self.major, _, length, ident, check = PREFIX.unpack_from(self.data)
        self.start, self.chain = 40 + length, crc32c(self.data[36:36 + length], crc32c(self.data[:32]))
        if found != magic or check != crc32c(self.data[:32]):
            raise ValueError("it is not a recording, or its header is damaged")
        if self.major not in (1, 2):
            raise ValueError(f"format version {self.major}: a newer reader is needed")
        if length > 1 << 20 or struct.unpack_from("<I", self.data, 36 + length)[0] != self.chain:
            raise ValueError("its header is damaged")
        self.id, self.header = ident.hex(), unpack(self.data[36:36 + length])

    def place(self):
        created = self.header.get("created", {}).get("real_ns", 0)
        return self.header.get("ordinal", 0), created, self.path

    def damaged(self, at, why):
        self.whole = False
        warnings.warn(f"{self.path}: byte {at}: {why}", Damage, stacklevel=2)

    def named(self, frame):
        for told in frame.pop("declares", []):
            key = (told["entity"], told["metric"])
            if self.ids.setdefault(told["id"], key) != key:
                raise ValueError("a series is declared again as something else")
        return {**frame, "samples": [(*self.ids[id], told) for id, told in frame.get("samples", []) if id in self.ids]}

    def records(self, contexts):
        """The Frames of a chain of records; those that say what is in force only where they are wanted."""
        at, chain, stream = self.start, self.chain, zstandard.ZstdDecompressor(max_window_size=1 << 20).decompressobj()
        while at < len(self.data) and not self.closed:
            try:
                kind, flags, _, length, check = RECORD.unpack_from(self.data, at)
                payload = self.data[at + 12:at + 12 + length]
                fits = check == crc32c(payload, crc32c(self.data[at:at + 8], chain))
                if length > 16 << 20 or len(payload) < length or not fits:
                    raise ValueError("a record is torn or damaged; nothing behind it can be relied on")
                if flags & 0x80:
                    raise ValueError("a newer reader is needed")
                unpacker, self.closed = msgpack.Unpacker(strict_map_key=False, max_buffer_size=MOST), kind == 3
                for part in range(0, length, 1024) if kind == 4 else ():
                    unpacker.feed(stream.decompress(payload[part:part + 1024]))  # raises when it becomes too much
                if kind in (1, 2):
                    unpacker.feed(payload)
                for frame in map(self.named, unpacker):
                    if contexts or kind != 2:
                        yield frame
            except BAD as why:
                return self.damaged(at, why)
            at, chain = at + 12 + length, check

    def journals(self):
        """The Frames of its journals."""
        folder, name = os.path.split(self.path)
        names = (re.fullmatch(re.escape(name) + r"\.j(\d+)", entry) for entry in os.listdir(folder or "."))
        for match in sorted(filter(None, names), key=lambda match: int(match[1])):
            try:
                journal = Segment(os.path.join(folder, match[0]), b"GPUDECKJ")
                if journal.header.get("segment") != self.id:
                    raise ValueError("it belongs to another segment")
                yield from journal.records(contexts=False)
            except (*BAD, OSError) as why:
                self.damaged(0, f"{match[0]}: {why}")

    def sections(self):
        """Every section: offset, kind, payload (or why not), sequence numbers. Behind damage: the next that fits."""
        at, lost = self.start, None
        while 0 <= at <= len(self.data) - 44 and not self.closed:
            magic, kind, flags, _, _, length, checked, first, last, check, own = SECTION.unpack_from(self.data, at)
            seed, end = crc32c(struct.pack("<Q", at), self.chain), at + 44 + length
            if magic != b"GDKs" or own != crc32c(self.data[at:at + 40], seed) or end > len(self.data) or length > MOST:
                lost, at = at if lost is None else lost, self.data.find(b"GDKs", at + 1)
                continue
            if lost is not None:
                lost = self.damaged(lost, "a section is torn or damaged")
            fits = not flags & 0x80 and check == crc32c(self.data[at + 44:at + 44 + min(checked, length)], seed)
            yield at, kind, self.data[at + 44:end] if fits else None, first, last
            self.closed, at = kind == DIRECTORY and fits, end
        if not self.closed and (lost is not None or at < len(self.data)) and not next(self.journals(), None):
            self.damaged(at if lost is None else lost, "the file ends in the middle of a section")

    def read(self, of_block, of_frame, bursts, contexts):
        """What `of_block` and `of_frame` make of it, in the order of recording."""
        def chosen(frames, first=0, last=1 << 64):
            for frame in frames:
                if bool(frame.get("burst")) == bursts and first <= frame.get("seq", 0) <= last:
                    yield from of_frame(frame)

        if self.major == 1:
            return (yield from chosen(self.records(contexts)))
        sections, places, seen, wanted = list(self.sections()), {}, 0, BURST if bursts else BLOCK
        place = 0 if self.whole else None  # a SCHEMA may be among what was lost
        for at, kind, payload, first, last in sorted(sections, key=lambda section: section[1] != SCHEMA):
            try:
                seen = max(seen, last if kind == wanted else 0)
                if payload is None:
                    place = None if kind == SCHEMA else place
                    raise ValueError("a section's checksum does not fit, or only a newer reader knows it")
                if kind == SCHEMA:
                    schema = unpack(unzstd(payload))
                    place = schema.get("first", place)
                    for told in schema["series"] if place is not None else ():
                        self.ids[told["id"]] = places.setdefault(place, (told["entity"], told["metric"]))
                        place += 1
                elif kind == CONTEXT and contexts:
                    yield from chosen(map(self.named, unpack(unzstd(payload))))
                elif kind == wanted:
                    yield from list(of_block(Block(payload, places)))
            except BAD as why:
                self.damaged(at, why)
                if kind == wanted:
                    yield from chosen(self.journals(), first, last)
        journaled = False
        for frame in self.journals() if not self.closed else ():
            seq = frame.get("seq", 0)
            own = journaled and seq == seen and frame["probe"] == "recorder"
            if (own or seq > seen) and bool(frame.get("burst")) == bursts:
                seen, journaled = seq, True
                yield from of_frame(frame)


def walk(path, of_block, of_frame, bursts=False):
    """All segments by ordinal. What one says of those before it is passed over if the last of them was read whole."""
    path, segments, before = os.fspath(path), [], None
    names = [name for name in os.listdir(path) if name.endswith(".gdk")] if os.path.isdir(path) else [""]
    for each in (os.path.join(path, name) if name else path for name in names):
        try:
            segments += [Segment(each)] if each == path or os.path.isfile(each) and not os.path.islink(each) else []
        except (*BAD, OSError) as why:
            if each == path:
                raise
            warnings.warn(f"{each}: {why}", Damage, stacklevel=2)
    for segment in sorted(segments, key=Segment.place):
        ordinal = segment.header.get("ordinal", 0)
        yield from segment.read(of_block, of_frame, bursts, before is None or before + 1 != ordinal)
        before = ordinal if segment.whole and segment.closed else None


def frames(path, bursts=False):
    """Every Frame, in the order of recording; `bursts`: those read faster around a trigger instead."""
    return walk(path, Block.frames, lambda frame: [frame], bursts)


def series(path, entity, metric, bursts=False):
    """One series as masked arrays: what is not known is masked, and never 0. Values that are not all whole numbers, all
    doubles or all yes and no are objects."""
    def of_frame(frame):
        mono, real = frame["at"].get("mono_ns"), frame["at"].get("real_ns")
        start = (mono or 0, real or 0, (mono is not None) + 2 * (real is not None))
        return [(*start, *cells(told)) for *key, told in frame["samples"] if key == [entity, metric]]

    rows = list(walk(path, lambda block: block.series((entity, metric)), of_frame, bursts))
    mono, real, flags, value, quality, why, _ = zip(*rows) if rows else [()] * 7
    flags, quality, masked = np.array(flags, np.int64), np.array(quality, "U11"), np.ma.masked_array
    missing = ~np.isin(quality, ("good", "stale"))
    kinds = {type(each) for each, none in zip(value, missing) if not none}
    dtypes = {int: np.uint64, float: np.float64, bool: np.bool_}
    held = np.zeros(len(rows), dtypes.get(*kinds, object) if len(kinds) == 1 else object)
    held[~missing] = [each for each, none in zip(value, missing) if not none]
    time = np.array(real, np.int64).view("datetime64[ns]")
    mono, why = masked(np.array(mono, np.uint64), flags & 1 == 0), np.array(why, np.uint64)
    return Series(mono, masked(time, flags & 2 == 0), masked(held, missing), quality, masked(why, quality != "stale"))


def shown(told):
    """Harmless in a terminal and a spreadsheet; numbers with the digits that give them back."""
    if told is None or isinstance(told, int):
        return "" if told is None else int(told)
    if isinstance(told, float):
        return "NaN" if told != told else np.format_float_positional(told, trim="-")
    escape = lambda each: chr(0x2400 + ord(each)) if ord(each) < 32 else f"\\u{{{ord(each):x}}}"  # noqa: E731
    text = "".join(each if each.isprintable() else escape(each) for each in told)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def main(path, out):
    table, epoch = csv.writer(out), datetime.datetime(1970, 1, 1)
    table.writerow("time mono_ns boot seq probe entity metric value text quality age_ns since_mono_ns call".split())
    for frame in frames(path):
        at, time = frame["at"], ""
        if "real_ns" in at:
            time = epoch + datetime.timedelta(microseconds=at["real_ns"] // 1000)
            time = time.isoformat(timespec="microseconds") + "Z"
        start = [time, at.get("mono_ns"), frame.get("boot", ""), frame.get("seq", 0), frame["probe"]]
        for entity, metric, told in frame["samples"]:
            value, quality, why, call = cells(told)
            both = ["", shown(value)] if isinstance(value, str) else [shown(value), ""]
            ages = [why if quality == "stale" else "", why if quality == "stuck" else ""]
            table.writerow([*start, shown(entity), shown(metric), *both, quality, *ages, shown(call)])


if __name__ == "__main__":
    main(sys.argv[1], sys.stdout)
