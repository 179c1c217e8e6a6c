//! `kill -9` of a recording process, at random moments around an acknowledgement.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use generator::{Activity, Day, Policy};
use model::Frame;
use recorder::Sync;
use recorder::live::{Options, Recorder};

use crate::common::{Dice, S, frames, header};
use crate::{check, options, originals, rounds, scratch};

const CHILD: &str = "GPUDECK_TORTURE_CHILD";
const MOST_FRAMES: u64 = 900;

/// What both processes know: the Frames of a round.
fn of_round(round: u64) -> Vec<Frame> {
    if round % 4 == 3 {
        let day = Day::of(round, Policy::Quantised, &[(70, Activity::Training)]);
        return day.flatten().take(900).collect();
    }
    frames(MOST_FRAMES, round)
}

/// The process that is killed: records, and tells each Frame's number once it was flushed.
#[test]
fn a_child_that_records_until_it_is_killed() {
    let Some(told) = std::env::var_os(CHILD) else { return };
    let told = told.into_string().unwrap();
    let (round, path) = told.split_once(' ').unwrap();
    let round: u64 = round.parse().unwrap();
    let options =
        Options { segment_ns: 20 * S, ..options(if round.is_multiple_of(5) { Sync::Tick } else { Sync::Off }) };
    let recorder = Recorder::start(Path::new(path), &header(), options).unwrap();
    let mut pipe = std::io::stderr();
    for frame in of_round(round) {
        let seq = frame.seq;
        assert!(recorder.append(Arc::new(frame)));
        recorder.flush();
        pipe.write_all(format!("ack {seq}\n").as_bytes()).unwrap();
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_killed_recorder_loses_no_frame_it_acknowledged_and_tells_no_wrong_one() {
    let mut dice = Dice(0x9E37_79B9);
    let (rounds, mut acknowledged, mut read) = (rounds(40, 1_000), 0, 0);
    for round in 0..rounds {
        let directory = scratch();
        // Alternately a directory of segments, which are closed and begun every 20 s, and a file.
        let path = directory.path().join(if round.is_multiple_of(2) { "rec" } else { "x.gdk" });
        let frames = of_round(round);
        let at = 1 + dice.roll(frames.len().min(420) as u64);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::a_child_that_records_until_it_is_killed", "--nocapture"])
            .env(CHILD, format!("{round} {}", path.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut last = 0;
        while last < at {
            let line = lines.next().expect("the child died by itself").unwrap();
            last = line.strip_prefix("ack ").unwrap_or_else(|| panic!("the child said: {line}")).parse().unwrap();
        }
        let until = std::time::Instant::now() + Duration::from_micros(dice.roll(400));
        while std::time::Instant::now() < until {}
        child.kill().unwrap();
        child.wait().unwrap();
        // What it acknowledged meanwhile is still in the pipe; a line may be cut off.
        for line in lines.map_while(Result::ok) {
            last = line.strip_prefix("ack ").and_then(|seq| seq.parse().ok()).filter(|seq| *seq > last).unwrap_or(last);
        }
        let (seqs, damage) = check(&path, &originals(&frames)).unwrap();
        let told = format!("round {round}: {last} acknowledged, {} read; {damage:?}", seqs.len());
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "a Frame is missing in between; {told}");
        assert!(seqs.len() as u64 >= last, "{told}");
        acknowledged += last;
        read += seqs.len();
        if round % 50 == 49 {
            println!("{} kills", round + 1);
        }
    }
    println!("{rounds} kills: {acknowledged} Frames acknowledged, {read} read");
}
