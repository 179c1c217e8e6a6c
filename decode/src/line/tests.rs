#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn text(line: &str) -> String {
    String::from_utf8(parse_line(line.as_bytes(), 1).unwrap().record.unwrap().text).unwrap()
}

fn at(line: &str) -> Stamp {
    Lines::new(line.as_bytes()).year(Some(2024)).next().unwrap().at
}

#[test]
fn every_prefix_met_in_the_field_leaves_the_text() {
    for prefix in [
        "",
        "[  123.456789] ",
        "[123] ",
        "[  123.456789][ T1234] ",
        "[  123.456789][    C0] ",
        "[  123.456789 <    0.000012>] ",
        "[  +0.000844] ",
        "[Wed Jul 31 23:14:18 2024] ",
        "[Sat Jan  7 14:25:56 2023] ",
        "[Sep22 09:59] ",
        "[Sep 5 09:59] ",
        "[2023-06-22 21:55:31.352446][5975153.878190] ",
        "Sep 19 16:18:02 bubz kernel: [68183.615790] ",
        "Sep  9 16:18:02 bubz kernel: ",
        "jan. 29 20:50:17 kevin kernel: ",
        "nov 07 01:36:56 bernard kernel: ",
        "kwi 15 07:56:59 testowy kernel: ",
        "Okt 06 17:59:27 balrog kernel: ",
        "paź 06 17:59:27 balrog kernel: ",
        "Sep 19 16:18:02.123456 bubz kernel: ",
        "2025-01-25T10:34:54+0000 host kernel: ",
        "2025-01-25T10:34:54.859532+01:00 host-1.example kernel: ",
        "2025-01-25T10:34:54,859532+00:00 ",
        "kern  :err   : 2025-01-25T10:34:54,859532+00:00 ",
        "kern  :warn  : [  123.456789] ",
        "Mon 2024-01-01 12:00:00 UTC host kernel: ",
        "1704110400.123456 host kernel: ",
        "[  123.456789] host kernel: ",
        "<0>[2315424.098863] ",
        "<3>",
        "<3>1 2026-01-07T10:02:00.5Z host kernel - - - ",
        "<3>1 2026-01-07T10:02:00.5Z host kernel - - [a b=\"c\"] ",
        "192.168.11.119: kern: warning: [2026-04-22T21:27:51.291660856Z]: ",
        "kern: warning: [2026-04-22T21:27:51.291660856Z]: ",
        "kernel: ",
        "kernel: [   17.982092] ",
        "ny2g1r12hh2 kernel: ",
        "kernel: Jan 21 11:18:36 kernel: ",
    ] {
        assert_eq!(text(&format!("{prefix}NVRM: Xid")), "NVRM: Xid", "{prefix}");
    }
}

#[test]
fn the_text_never_loses_its_own_beginning() {
    for line in [
        "[drm] PCI error: detected callback",
        "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring x timeout",
        "[Hardware Error]: System Fatal error.",
        "mce: [Hardware Error]: Machine check events logged",
        "amdgpu 0000:01:00.0: amdgpu: kernel: x",
        "python3[12]: segfault at 0",
        "some_module: NVRM: Xid (PCI:0000:01:00): 79",
        "May be: kernel",
    ] {
        assert_eq!(text(line), line);
    }
}

#[test]
fn a_line_of_a_program_keeps_its_tag() {
    assert_eq!(text("Sep 19 16:18:02 bubz gpud[12]: NVRM: Xid (PCI:0:1): 79"), "gpud[12]: NVRM: Xid (PCI:0:1): 79");
    assert_eq!(text("2025-01-25T10:34:54+00:00 amdgpu 0000:01:00.0: x"), "amdgpu 0000:01:00.0: x");
}

#[test]
fn both_clocks_are_read_where_they_are_written() {
    assert_eq!(at("[  123.456789] x").mono_ns, Some(123_456_789_000));
    assert_eq!(at("2025-01-25T10:34:54,859532+01:00 x").real_ns, Some(1_737_797_694_859_532_000));
    assert_eq!(at("2025-01-25T09:34:54.859532Z host kernel: x").real_ns, Some(1_737_797_694_859_532_000));
    assert_eq!(at("1704110400.500000 host kernel: x").real_ns, Some(1_704_110_400_500_000_000));
    assert_eq!(at("[Mon Jan  1 12:00:00 2024] x").real_ns, Some(1_704_110_400_000_000_000));
    assert_eq!(at("Jan  1 12:00:00 host kernel: x").real_ns, Some(1_704_110_400_000_000_000));
    let both = at("Jan  1 12:00:00 host kernel: [5.5] x");
    assert_eq!(both, Stamp::new(5_500_000_000, 1_704_110_400_000_000_000));
}

#[test]
fn a_stamp_without_a_year_tells_no_time_unless_the_year_is_given() {
    assert_eq!(parse_line(b"Jan  1 12:00:00 host kernel: x", 1).unwrap().at, Stamp::default());
    assert_eq!(at("Feb 30 12:00:00 host kernel: x").real_ns, None);
}

#[test]
fn deltas_count_from_the_line_before() {
    let log = "[Jan 1 12:00] a\n[  +0.500000] b\n[  +1.000000] c\n";
    let times: Vec<_> = Lines::new(log.as_bytes()).year(Some(2024)).map(|event| event.at.real_ns).collect();
    let noon = 1_704_110_400_000_000_000;
    assert_eq!(times, [Some(noon), Some(noon + 500_000_000), Some(noon + 1_500_000_000)]);
    assert_eq!(Lines::new(b"[  +0.5] b").next().unwrap().at, Stamp::default());
}

#[test]
fn a_kmsg_record_keeps_its_escapes_and_takes_its_continuation_lines() {
    let log = b"11,22625,652513086584,-,caller=T1;a \\x5c b\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\nplain\n";
    let events: Vec<_> = Lines::new(log).collect();
    assert_eq!(events.len(), 2);
    let record = events[0].record.as_ref().unwrap();
    assert_eq!((record.sequence, record.priority, record.facility), (Some(22625), Some(3), Some(1)));
    assert_eq!(record.text, br"a \x5c b");
    assert_eq!(record.dictionary[1], ("DEVICE".to_owned(), "+pci:0000:01:00.0".to_owned()));
    assert_eq!(events[0].at.mono_ns, Some(652_513_086_584_000));
    assert!(events[0].injected());
    assert_eq!(events[1].record.as_ref().unwrap().line, Some(4));
    assert_eq!(parse_kmsg(b"6,1,1,-;a\n SUBSYSTEM=pci\n").unwrap().record.unwrap().dictionary.len(), 1);
}

#[test]
fn what_is_no_record_says_why() {
    assert_eq!(parse_kmsg(b"hello"), Err(KmsgError::NoHeader));
    let error = parse_kmsg(b"6,x,1,-;a").unwrap_err();
    assert!(error.to_string().contains("sequence") && error.to_string().contains("`x`"));
    parse_kmsg(b"6,1;a").unwrap_err();
    parse_kmsg(b"+6,1,1,-;a").unwrap_err();
}

#[test]
fn a_journal_entry_is_the_kernels_only_if_it_came_through_the_kernel() {
    let line = |fields: &str| {
        parse_line(format!(r#"{{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1704110400000000",{fields}}}"#).as_bytes(), 1)
            .unwrap()
    };
    let kernel =
        line(r#""_TRANSPORT":"kernel","PRIORITY":"3","SYSLOG_FACILITY":"0","_SOURCE_MONOTONIC_TIMESTAMP":"5000000""#);
    assert_eq!(kernel.record.as_ref().unwrap().provenance(), model::Provenance::Kernel);
    assert_eq!(kernel.at, Stamp::new(5_000_000_000, 1_704_110_400_000_000_000));
    for fields in [
        r#""_TRANSPORT":"kernel","SYSLOG_FACILITY":"1""#,
        r#""_TRANSPORT":"syslog","SYSLOG_FACILITY":"0""#,
        r#""_TRANSPORT":"stdout""#,
    ] {
        assert!(line(fields).injected(), "{fields}");
    }
    assert_eq!(parse_line(br#"{"MESSAGE":[78,255]}"#, 1).unwrap().record.unwrap().text, [78, 255]);
}

#[test]
fn levels_tell_who_wrote_the_line() {
    let facility = |line: &str| parse_line(line.as_bytes(), 1).unwrap().record.unwrap().facility;
    assert_eq!(facility("kern  :err   : [1.0] x"), Some(0));
    assert_eq!(facility("user  :notice: [1.0] x"), Some(1));
    assert_eq!(facility("<12>[1.0] x"), Some(1));
    assert_eq!(facility("[1.0] x"), None);
}

#[test]
fn bytes_that_are_not_text_stay_as_they_are() {
    let event = parse_line(b"[1.5] a\xff\xfeb", 7).unwrap();
    assert_eq!(event.record.unwrap().text, b"a\xff\xfeb");
    assert_eq!(event.at.mono_ns, Some(1_500_000_000));
}
