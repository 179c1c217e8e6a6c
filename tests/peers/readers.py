"""Reads the exports of one recording with other people's readers, and holds them against its CSV table.

    readers.py DIRECTORY      with run.csv, run.events.csv, run.parquet, run.json.mcap, run.msgpack.mcap, run.om in it
"""

import collections
import csv
import datetime
import json
import math
import re
import sys
from pathlib import Path

import duckdb
import mcap.reader
import msgpack
from prometheus_client.openmetrics.parser import text_fd_to_metric_families


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def whole(text):
    """Exact for counters; a double otherwise."""
    return int(text) if re.fullmatch(r"\d+", text) else float(text)


def same(what, found, expected):
    assert found == expected, f"{what}: found {found!r}, the table has {expected!r}"


def microseconds(text):
    at = datetime.datetime.fromisoformat(text)
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def parquet(directory, samples, events):
    rows = duckdb.sql(f"""
        select epoch_us(time), mono_ns, boot, seq, probe, entity_kind, entity, metric, kind, unit, value, count, text,
               quality, age_ns, since_mono_ns, call
        from read_parquet('{directory}/run.parquet/dt=*/node=*/*.parquet')""").fetchall()
    same("parquet rows", len(rows), len(samples))

    def text(value):
        return "" if value is None else str(value)

    exact = collections.Counter()
    for row in rows:
        us, mono, boot, seq, probe, of, entity, metric, kind, unit, value, count, words, quality, *why = row
        number = "" if value is None else repr(float(value)) if count is None else str(count)
        exact[(us, mono, boot, seq, probe, of, entity, metric, kind, unit, number, text(words), quality, *map(text, why))] += 1
    for row in samples:
        # A count in the table has no point; nor has a number that is whole, or a flag.
        value = row["value"]
        as_count, as_number = value, repr(float(value)) if value else ""
        start = (microseconds(row["time"]), int(row["mono_ns"]), row["boot"], int(row["seq"]))
        names = tuple(row[name] for name in ("probe", "entity_kind", "entity", "metric", "kind", "unit"))
        rest = tuple(row[name] for name in ("text", "quality", "age_ns", "since_mono_ns", "call"))
        for number in (as_count, as_number):
            if exact.get((*start, *names, number, *rest)):
                exact[(*start, *names, number, *rest)] -= 1
                break
        else:
            raise AssertionError(f"not in parquet: {row}")
    same("parquet rows that the table has not", sum(exact.values()), 0)

    found = duckdb.sql(f"""
        select epoch_us(time), event, coalesce(entity, ''), coalesce(text, ''), fields::varchar
        from read_parquet('{directory}/run.parquet/events/dt=*/node=*/*.parquet') order by all""").fetchall()
    found = [(us, event, entity, text, json.loads(fields)) for us, event, entity, text, fields in found]
    table = [
        (microseconds(row["time"]), row["event"], row["entity"], row["text"], json.loads(row["fields"])) for row in events
    ]
    order = lambda row: json.dumps(row, sort_keys=True)
    same("parquet events", sorted(found, key=order), sorted(table, key=order))


def mcap_file(path, decode, samples, events):
    found, qualities, happened = collections.defaultdict(dict), {}, 0
    with open(path, "rb") as file:
        reader = mcap.reader.make_reader(file, validate_crcs=True)
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
        for schema, channel, message in reader.iter_messages():
            told = decode(message.data)
            if channel.topic == "/events":
                happened += 1
                continue
            if schema is not None:
                assert schema.encoding == "jsonschema" and json.loads(schema.data)["type"] == "object"
            for name, value in told.items():
                if name not in ("mono_ns", "seq", "probe", "entity", "quality"):
                    found[told["seq"], told["entity"]][name] = value
            for name, quality in told["quality"].items():
                qualities[told["seq"], told["entity"], name] = quality["is"]
    assert "hostname" in " ".join(metadata["gpudeck"]), metadata
    same(f"{path} events", happened, len(events))
    same(f"{path} values", sum(len(values) for values in found.values()), len(samples))
    for row in samples:
        place, name = (int(row["seq"]), row["entity"]), row["metric"].replace(".", "_")
        value = found[place][name]
        if row["text"]:
            same(row, value, row["text"])
        elif row["value"]:
            same(row, float(value), float(row["value"]))
            if isinstance(value, int) and not isinstance(value, bool):
                same(row, str(value), row["value"])
        else:
            same(row, value, "" if row["quality"] == "good" else None)
        same(row, qualities.get((*place, name), "good"), row["quality"])


def openmetrics(path, samples):
    families = list(text_fd_to_metric_families(open(path, encoding="utf-8")))
    left_out = 0
    # Of every series the numbers by their time; of texts, the one that holds.
    found = collections.defaultdict(dict)
    for family in families:
        assert family.name.startswith("gpudeck_") and family.documentation, family.name
        for sample in family.samples:
            if family.name == "gpudeck_export_left_out":
                left_out += int(sample.value)
                continue
            text = sample.labels.get("value") if family.type == "info" else sample.labels.get(family.name)
            if text is not None and sample.value == 0:
                continue
            key = (family.name, sample.labels["entity"], sample.labels.get("name", ""))
            ms = round(float(sample.timestamp) * 1000)
            found[key][ms] = text if text is not None else sample.value
    points = sum(len(series) for series in found.values())
    same("openmetrics: points and what is left out", points + left_out, len(samples))
    missing = sum(row["quality"] not in ("good", "stale") for row in samples)
    assert left_out >= missing > 0, (left_out, missing)

    # Each of the table's series agrees, where the exposition has one metric for one family.
    by_series = collections.defaultdict(dict)
    for row in samples:
        if row["quality"] == "good":
            value = float(row["value"]) if row["value"] else row["text"]
            by_series[row["metric"], row["entity"]].setdefault(microseconds(row["time"]) // 1000, value)
    known = {
        "gpu.power": "gpudeck_gpu_power_watts",
        "gpu.energy": "gpudeck_gpu_energy_millijoules",
        "gpu.state": "gpudeck_gpu_state",
        "gpu.name": "gpudeck_gpu_name",
        "host.cpu": "gpudeck_host_cpu_percent",
    }
    checked = 0
    for (metric, entity), series in by_series.items():
        if metric in known:
            same((metric, entity), found[known[metric], entity, ""], series)
            checked += 1
    assert checked > len(known), checked


def main(directory):
    samples, events = read_csv(directory / "run.csv"), read_csv(directory / "run.events.csv")
    assert len(samples) > 1000 and events, (len(samples), len(events))
    sums = collections.defaultdict(list)
    for row in samples:
        # Only a text may be there and be empty.
        assert bool(row["value"] or row["text"]) == (row["quality"] in ("good", "stale")) or row["kind"] in ("state", "info"), row
        if row["value"]:
            sums[row["metric"]].append(whole(row["value"]))
    for metric, total in duckdb.sql(
        f"select metric, sum(value) from read_parquet('{directory}/run.parquet/dt=*/node=*/*.parquet') "
        "where value is not null group by 1"
    ).fetchall():
        assert math.isclose(total, math.fsum(sums.pop(metric)), rel_tol=1e-12), metric
    same("metrics without a sum in parquet", dict(sums), {})
    parquet(directory, samples, events)
    mcap_file(directory / "run.json.mcap", json.loads, samples, events)
    mcap_file(directory / "run.msgpack.mcap", msgpack.unpackb, samples, events)
    openmetrics(directory / "run.om", samples)
    qualities = collections.Counter(row["quality"] for row in samples)
    print(f"agreed: {len(samples)} samples ({dict(qualities)}), {len(events)} events")


main(Path(sys.argv[1]))
