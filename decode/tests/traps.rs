//! The things that break readers of Xid and other kernel lines in the field, one test per trap.
#![allow(clippy::unwrap_used, clippy::panic)]

use decode::{Decoder, Lines, json, parse_line};
use model::event::KERNEL_LINE;
use model::{Action, Entity, Event, Field, GpuKey, Severity};
use proptest::prelude::*;
use serde_json::{Value, json as value};

fn event(line: &str) -> Event {
    Decoder::new().event(&parse_line(line.as_bytes(), 1).unwrap())
}

/// The object of a line, or null where it means nothing.
fn object(line: &str) -> Value {
    let event = event(line);
    if event.kind == KERNEL_LINE { Value::Null } else { json(&event) }
}

fn has(line: &str, expected: &Value) {
    let object = object(line);
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(object.get(name), Some(value), "{name} of {line}: {object}");
    }
}

fn judged(line: &str, level: Severity, action: Action) {
    let verdict = event(line).verdict.unwrap_or_else(|| panic!("{line}"));
    assert_eq!((verdict.level, verdict.action), (level, action), "{line}");
}

#[test]
fn an_xid_is_placed_however_its_location_is_written() {
    for (location, pci) in [
        ("PCI:0000:4f:00", "0000:4f:00"),
        ("PCI:0000:4f:00.0", "0000:4f:00.0"),
        ("0000:4f:00", "0000:4f:00"),
        ("PCI:00000000:4f:00", "00000000:4f:00"),
        ("PCI:0000:4f:00 GPU-I:05", "0000:4f:00"),
        ("PCI:0000:4f:00 GPU-I:01 GPU-CI:02", "0000:4f:00"),
    ] {
        let line = format!("NVRM: Xid ({location}): 79, GPU has fallen off the bus.");
        has(&line, &value!({"kind": "xid", "code": 79, "pci": pci, "entity": "gpu:0000:4f:00.0"}));
    }
    has("NVRM: Xid (PCI:0000:4f:00 GPU-I:01 GPU-CI:02): 94", &value!({"gi": "01", "ci": "02"}));
}

#[test]
fn an_address_that_no_bus_can_have_is_kept_and_leads_nowhere() {
    let event = event("NVRM: Xid (PCI:0001:ab:cd): 69, Class Error");
    assert_eq!(event.field("pci").and_then(Field::as_text), Some("0001:ab:cd"));
    assert_eq!(event.entity, Some(Entity::Node));
}

#[test]
fn a_process_is_read_however_it_is_written() {
    let xid = |tail: &str| format!("NVRM: Xid (PCI:0000:01:00): 31, {tail}");
    has(&xid("pid=123, name=KMS thread, Ch 1"), &value!({"pid": 123, "name": "KMS thread", "message": "Ch 1"}));
    has(&xid("pid=123, name=nvc:[driver], Ch 1"), &value!({"name": "nvc:[driver]"}));
    has(&xid("pid='<unknown>', name=<unknown>, Ch 1"), &value!({"pid": null, "name": null, "message": "Ch 1"}));
    has(&xid("pid=<unknown>, name=<unknown>"), &value!({"pid": null, "name": null, "message": ""}));
    has(&xid("pid=0, Ch 1"), &value!({"pid": 0}));
    has(&xid("pid=12 Recommended Action=X"), &value!({"pid": 12, "message": "Recommended Action=X"}));
    let told_nothing = object(&xid("pid=XXX"));
    assert_eq!((told_nothing.get("pid"), &told_nothing["message"]), (None, &value!("pid=XXX")));
}

#[test]
fn the_comma_and_the_text_may_be_missing() {
    has("NVRM: Xid (PCI:0000:01:00): 46", &value!({"code": 46, "message": ""}));
    has("NVRM: Xid (PCI:0000:01:00): 154 (", &value!({"code": 154, "message": "("}));
    has("NVRM: Xid (PCI:0000:01:00): 16, ", &value!({"code": 16, "message": ""}));
}

#[test]
fn what_only_resembles_an_xid_is_none() {
    for line in [
        "NVRM: Xid (PCI:0000:65:00)",
        "NVRM: Xid (PCI:0000:66:00): abc",
        "NVRM: Xid : 32, pid=1",
        "NVRM: Xid (PCI:0000:66:00): 79x",
        "NVRM: Xid (invalid): 79, x",
        "NVRM: Xid (PCI:0000:66:00): 99999999999999999999",
        "nvidia-nvswitch0: SXid (invalid): some error",
        "mymodule: saw NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
        "\"NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\"",
        "Sep 19 16:18:02 host gpud[12]: NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
    ] {
        assert_eq!(object(line), Value::Null, "{line}");
    }
}

#[test]
fn a_line_that_user_space_wrote_is_read_and_marked() {
    let text = "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.";
    for (prefix, injected) in [
        ("11,22625,652513086584,-;", value!(true)),
        ("3,22625,652513086584,-;", value!(false)),
        ("3,22625,652513086584,-,caller=T1;", value!(false)),
        ("<11>[1.0] ", value!(true)),
        ("user  :err   : [1.0] ", value!(true)),
        ("kern  :err   : [1.0] ", value!(false)),
        ("[1.0] ", Value::Null),
        ("", Value::Null),
    ] {
        has(&format!("{prefix}{text}"), &value!({"kind": "xid", "code": 79, "injected": injected}));
    }
    assert!(event(&format!("11,1,1,-;{text}")).injected());
}

#[test]
fn xid_45_names_its_root_and_then_asks_for_nothing() {
    let alone = "NVRM: Xid (PCI:0000:ed:00): 45, pid=18, name=python3, Ch 0000000c";
    judged(alone, Severity::Info, Action::RestartApp);
    let caused = format!("{alone} caused by previous Xid 149");
    has(&caused, &value!({"caused_by": 149}));
    judged(&caused, Severity::Info, Action::Ignore);
}

#[test]
fn containment_is_read_with_and_without_its_parenthesis() {
    let xid = |code: u32, text: &str| format!("NVRM: Xid (PCI:0000:01:00): {code}, pid=7, {text}");
    let unit = |unit: &str| value!({"containment": "Uncontained", "unit": unit, "rst": true, "drst": false});
    has(&xid(95, "Uncontained: LTC TAG (0x2,0x1). RST: Yes, D-RST: No"), &unit("LTC TAG"));
    has(&xid(95, "Uncontained: LTC TAG (0x2, 0x1). RST: Yes, D-RST: No"), &unit("LTC TAG"));
    has(&xid(95, "Uncontained: FBHUB. RST: Yes, D-RST: No"), &unit("FBHUB"));
    judged(&xid(94, "Contained: SM (0x1). RST: No, D-RST: No"), Severity::Critical, Action::RestartApp);
    judged(&xid(94, "Contained: SM (0x1). RST: No, D-RST: Yes"), Severity::Critical, Action::DrainReset);
}

#[test]
fn the_registers_of_xid_74_decide() {
    let xid = |registers: &str| {
        format!("NVRM: Xid (PCI:0000:01:00): 74, NVLink: fatal error detected on link 14({registers})")
    };
    has(&xid("0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0"), &value!({"link": 14}));
    judged(&xid("0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0"), Severity::Critical, Action::ResetGpu);
    judged(&xid("0x1, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0"), Severity::Info, Action::Ignore);
    judged(&xid("0x200000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0"), Severity::Critical, Action::CheckLink);
    judged(&xid("0x4, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0"), Severity::Critical, Action::ResetGpu);
    has(
        "NVRM: Xid (PCI:0000:01:00): 136, NVLink: Link training failed for links 0x3ffff(0x1, 0x2)",
        &value!({"links": "0x3ffff", "registers": ["0x1", "0x2"]}),
    );
}

#[test]
fn nvlink5_fields_may_be_apart_missing_or_negative() {
    let xid = |text: &str| format!("NVRM: Xid (PCI:0009:01:00): 149, {text}");
    has(
        &xid("NETIR_LINK_EVT  Fatal   XC0 i0 Link -1 (0x021425c6 0x00000000 0x0 0x0)"),
        &value!({"unit": "NETIR_LINK_EVT", "severity": "Fatal", "xc": "XC0", "link": -1, "intr_info": "0x021425c6", "error_status": "0x00000000"}),
    );
    let short = object(&xid("NETIR_LINK_DOWN Nonfatal XC1 i2 Link 17 (0xdeadbeef)"));
    assert_eq!((short.get("intr_info"), &short["link"]), (None, &value!(17)));
    assert_eq!(object(&xid("something else happened")).get("unit"), None);
    judged(&xid("NETIR_BER_EVENT Nonfatal XC0 i0 Link 00"), Severity::Warning, Action::Monitor);
    judged(&xid("NETIR_BER_EVENT Nonfatal XC1 i0 Link 00"), Severity::Warning, Action::RestartApp);
}

#[test]
fn xid_154_is_judged_by_its_number_and_never_by_its_label() {
    let xid =
        |to: &str| format!("NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from 0x0 (None) to {to}");
    for (to, action) in [
        ("0x1 (PF FLR)", Action::ResetGpu),
        ("0x1 (GPU Reset Required)", Action::ResetGpu),
        ("0x2 (OS Reboot)", Action::RebootNode),
        ("0x3 (x)", Action::DrainP2p),
        ("0x4 (None)", Action::DrainReset),
        ("0x5", Action::RecoverImex),
        ("0x0 (None)", Action::Ignore),
        ("0x9 (New)", Action::ContactSupport),
    ] {
        assert_eq!(event(&xid(to)).verdict.unwrap().action, action, "{to}");
    }
    has(&xid("0x2 (OS Reboot)"), &value!({"recovery_from": 0, "recovery_to": 2, "recovery_label": "OS Reboot"}));
}

#[test]
fn a_code_means_what_it_means_in_the_driver_at_hand() {
    let raw = parse_line(b"NVRM: Xid (PCI:0000:01:00): 144, x", 1).unwrap();
    let mut decoder = Decoder::new();
    decoder.set_driver("550.90.07");
    assert_eq!(decoder.event(&raw).verdict.unwrap().action, Action::RestartVm);
    decoder.set_driver("no version");
    assert_eq!(decoder.event(&raw).verdict.unwrap().action, Action::RestartVm);
    decoder.set_driver("570.124.06");
    assert_eq!(decoder.event(&raw).verdict.unwrap().action, Action::ResetGpu);
}

#[test]
fn unknown_codes_are_read_and_called_unknown() {
    has("NVRM: Xid (PCI:0000:01:00): 999, x", &value!({"code": 999, "title": "Unknown Xid 999", "level": "warning"}));
    has(
        "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 11111, Data {0x1}",
        &value!({"code": 11111, "title": "Unknown SXid 11111"}),
    );
}

#[test]
fn the_word_of_an_sxid_is_trusted_except_where_it_misleads() {
    let sxid = |text: &str| format!("nvidia-nvswitch3: SXid (PCI:0000:05:00.0): {text}");
    judged(
        &sxid("12028, Non-fatal, Link 32 egress non-posted PRIV error (First)"),
        Severity::Critical,
        Action::RestartApp,
    );
    judged(&sxid("10001, Non-fatal, PRI WRITE SYSB error, instance=3"), Severity::Warning, Action::Monitor);
    judged(&sxid("10001, Fatal, PRI WRITE SYSB error"), Severity::Critical, Action::DrainReset);
    judged(&sxid("22013, Non-fatal, Link 57 Minion Link DLREQ interrupt"), Severity::Info, Action::Ignore);
    judged(&sxid("10006, thermal shutdown"), Severity::Fatal, Action::CheckCooling);
    judged(&sxid("26006, SOE HALTED"), Severity::Fatal, Action::RebootNode);
    has(
        &sxid("12028, Non-fatal, Link 32 x (First)"),
        &value!({"first": true, "message": "x", "entity": "nvswitch:0000:05:00.0"}),
    );
}

#[test]
fn a_gpu_lost_at_probe_tells_it_in_three_lines_or_one_record() {
    has("NVRM: The NVIDIA GPU 0000:b3:00.0", &value!({"kind": "nvrm_fallen_off", "pci": "0000:b3:00.0"}));
    let goes_on = value!({"kind": "nvrm_fallen_off", "continuation": true});
    has("NVRM: (PCI ID: 10de:26b5) installed in this system has", &goes_on);
    has("NVRM: fallen off the bus and is not responding to commands.", &goes_on);
    has(
        r"3,5,5,-;NVRM: The NVIDIA GPU 0000:b3:00.0\x0aNVRM: (PCI ID: 10de:26b5) installed in this system has\x0aNVRM: fallen off the bus and is not responding to commands.",
        &value!({"kind": "nvrm_fallen_off", "pci": "0000:b3:00.0"}),
    );
}

#[test]
fn aer_reads_the_same_on_old_and_new_kernels() {
    let aer = |text: &str| format!("pcieport 0000:00:1c.5: {text}");
    for (text, severity, source) in [
        ("AER: Corrected error received: id=00e5", "Corrected", "00e5"),
        ("AER: Corrected error received: 0000:00:00.0", "Corrected", "0000:00:00.0"),
        ("AER: Correctable error message received from 0000:00:00.0", "Correctable", "0000:00:00.0"),
    ] {
        has(
            &aer(text),
            &value!({"kind": "aer", "severity": severity, "source_id": source, "multiple": false, "level": "warning"}),
        );
    }
    has(
        &aer("AER: Multiple Uncorrected (Fatal) error received: 0000:01:00.0"),
        &value!({"multiple": true, "level": "fatal"}),
    );
    let bus = value!({"severity": "Uncorrected (Non-Fatal)", "layer": "Physical Layer", "agent": "Receiver ID", "level": "critical"});
    has(&aer("PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Physical Layer, id=00e5(Receiver ID)"), &bus);
    has(&aer("AER: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Physical Layer, (Receiver ID)"), &bus);
    has(&aer("   [ 0] RxErr                  (First)"), &value!({"bit": 0, "bit_name": "RxErr", "first": true}));
    for news in
        ["AER: enabled with IRQ 24", "PME: Signaling with IRQ 24", "DPC: error containment capabilities: Int Msg #0"]
    {
        assert_eq!(object(&aer(news)), Value::Null, "{news}");
    }
}

#[test]
fn out_of_memory_reads_the_same_from_2_6_to_6() {
    has(
        "Memory cgroup out of memory: Killed process 42 ((sd-pam)) total-vm:1kB",
        &value!({"kind": "oom_kill", "pid": 42, "name": "(sd-pam)", "cgroup": true}),
    );
    has("Killed process 1234, UID 500, (a, b) total-vm:1kB", &value!({"pid": 1234, "name": "a, b", "cgroup": false}));
    has(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task_memcg=/a,task=x,pid=1,pid=77,uid=0",
        &value!({"name": "x,pid=1", "pid": 77, "memcg": "/a"}),
    );
    assert_eq!(object("a very long text that quotes: x invoked oom-killer: gfp_mask=0x1"), Value::Null);
}

#[test]
fn counters_that_are_zero_and_rings_that_recovered_are_no_faults() {
    let amd = |text: &str| format!("amdgpu 0000:c3:00.0: amdgpu: {text}");
    for well in [
        "0 uncorrectable hardware errors detected in umc block",
        "socket: 0 0 correctable hardware errors detected in total in gfx block",
        "ring gfx_0.0.0 timeout, but soft recovered",
        "Fetched VBIOS from VFCT",
    ] {
        assert_eq!(object(&amd(well)), Value::Null, "{well}");
    }
    let counted = value!({"event": "ras_ue", "count": 2, "block": "umc", "entity": "gpu:0000:c3:00.0"});
    has(&amd("2 uncorrectable hardware errors detected in umc block"), &counted);
    has(&amd("socket: 0, die: 0 2 new uncorrectable hardware errors detected in total in umc block"), &counted);
    has(&amd("GPU reset(4) failed"), &value!({"event": "reset_failed"}));
    has(&amd("failed to reserve bad page 0x1"), &value!({"event": "bad_page", "action": "replace"}));
}

#[test]
fn an_adapter_line_is_read_with_and_without_device_and_pid() {
    for head in [
        "mlx5_cmd_out_err:838:(pid 12): ",
        "mlx5_cmd_out_err:838: ",
        "mlx5_core 0000:d2:00.0: mlx5_cmd_out_err:838:(pid 12): ",
    ] {
        let line = format!(
            "{head}ACCESS_REG(0x805) op_mod(0x1) failed, status bad operation(0x2), syndrome (0x305684), err(-22)"
        );
        has(&line, &value!({"kind": "nic", "event": "access_reg_failed", "syndrome": "0x305684"}));
    }
    has(
        "mlx5_port_module_event:1131:(pid 0): Port module event[error]: module 0, Cable error, High Temperature",
        &value!({"event": "module_high_temperature", "module": 0}),
    );
    has(
        "PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer, (Receiver ID)",
        &value!({"kind": "aer", "level": "fatal"}),
    );
    has(
        "mlx5_core 0000:03:00.0: wait_func:964:(pid 112): ENABLE_HCA(0x104) timeout. Will cause a leak of a command resource",
        &value!({"event": "cmd_timeout"}),
    );
    for news in
        ["firmware version: 22.31.1014", "Rate limit: 127 rates are supported", "63.008 Gb/s available PCIe bandwidth"]
    {
        assert_eq!(object(&format!("mlx5_core 0000:03:00.0: {news}")), Value::Null, "{news}");
    }
}

#[test]
fn storage_is_told_from_its_news() {
    for line in [
        "md/raid0md0: Disk failure on nvme0n1p1 detected, failing array.",
        "block nvme0n1: no available path - failing I/O",
        "kworker/u203:1: attempt to access beyond end of device",
        "BTRFS: Remounting filesystem read-only",
        "I/O error, dev nvme0n1, sector 123 op 0x0:(READ) flags 0x0",
        "critical medium error, dev sdb, sector 99",
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0",
        "XFS (dm-3): Corruption of in-memory data detected.  Shutting down filesystem",
    ] {
        has(line, &value!({"kind": "storage"}));
    }
    for news in [
        "nvme nvme0: Shutdown timeout set to 8 seconds",
        "nvme nvme0: 63/0/0 default/read/poll queues",
        "XFS (dm-3): Mounting V5 Filesystem",
        "EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro",
    ] {
        assert_eq!(object(news), Value::Null, "{news}");
    }
}

#[test]
fn names_with_colons_and_the_like_stay_whole() {
    has(
        "INFO: task kworker/u8:2:123 blocked for more than 120 seconds.",
        &value!({"kind": "hung_task", "task": "kworker/u8:2", "pid": 123, "seconds": 120}),
    );
    has(
        "NMI watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [kworker/3:1:77]",
        &value!({"kind": "soft_lockup", "cpu": 3, "task": "kworker/3:1:77"}),
    );
}

#[test]
fn the_event_keeps_its_source_and_its_place() {
    let mut raw = parse_line(b"[5.5] NVRM: Xid (PCI:0000:4f:00): 79, x", 3).unwrap();
    raw.backlog = true;
    let event = Decoder::new().event(&raw);
    assert_eq!((event.at, &event.record, event.backlog), (raw.at, &raw.record, true));
    assert_eq!(event.entity, Some(Entity::Gpu(GpuKey::Pci("0000:4f:00.0".parse().unwrap()))));
    let mut frame = model::Draft::new("kernel_log", raw.at).seal(&mut model::Dictionary::default());
    frame.events = vec![raw.clone(), Event::new(raw.at, model::event::MARK)];
    Decoder::new().frame(&mut frame);
    assert_eq!(frame.events.iter().map(|event| event.kind.as_ref()).collect::<Vec<_>>(), ["xid", "mark"]);
}

/// Pieces of real lines, so that chance reaches the depths of the grammars.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = [
        "NVRM: Xid (PCI:0000:01:00",
        "): ",
        "79",
        "154",
        "74",
        "94",
        ", ",
        "pid=",
        "name=",
        "'<unknown>'",
        "link ",
        "(0x",
        "changed from 0x",
        " to ",
        "Contained: ",
        ". RST: Yes, D-RST: ",
        "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): ",
        "Data {",
        "Severity 1 ",
        "Link ",
        "(First)",
        "pcieport ",
        "0000:00:1c.5",
        ": ",
        "AER: ",
        "PCIe Bus Error: severity=",
        ", type=",
        "[ 0] ",
        "[",
        "]",
        "amdgpu",
        "[drm:x [amdgpu]] ",
        "ring ",
        " timeout",
        " uncorrectable hardware errors detected in ",
        " block",
        "mlx5_core",
        "(pid 1): ",
        "ACCESS_REG(0x",
        ") op_mod(0x",
        ") failed",
        "syndrome (",
        "oom-kill:",
        "constraint=",
        ",task=",
        ",pid=",
        "Killed process ",
        " (",
        ") ",
        "INFO: task ",
        " blocked for more than ",
        "EDAC MC0: ",
        "1 CE ",
        " on ",
        "segfault at ",
        " in libnccl",
        "+0x1/0x2 [fuse]",
        "<3>",
        "3,1,1,-;",
        "Sep 19 16:18:02 ",
        "host kernel: ",
        "2025-01-25T10:34:54+00:00 ",
        "[  +0.5] ",
        "\\x5c",
        "é",
        "\u{0}",
        " ",
        "-",
        "9",
        "{\"MESSAGE\":\"",
        "\"}",
        "\n",
        " A=b",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
}

fn read_all(bytes: &[u8]) -> Vec<String> {
    let mut decoder = Decoder::new();
    Lines::new(bytes).year(Some(2024)).map(|event| json(&decoder.event(&event)).to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic_and_the_same_bytes_read_the_same(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read_all(&bytes), read_all(&bytes));
        decode::parse_kmsg(&bytes).ok();
    }

    #[test]
    fn no_mixture_of_real_pieces_panics(text in fragments()) {
        prop_assert_eq!(read_all(text.as_bytes()), read_all(text.as_bytes()));
        decode::parse_kmsg(text.as_bytes()).ok();
    }

    #[test]
    fn a_prefix_never_changes_what_a_line_says(text in fragments().prop_filter("one line", |text| {
        // What begins like a prefix or a record is one, wherever it stands.
        text.starts_with("NVRM") || text.starts_with("nvidia-") || text.starts_with("amdgpu") || text.starts_with("INFO")
    })) {
        prop_assume!(!text.contains('\n') && !text.contains("kernel: ") && !text.contains(';'));
        let bare = object(text.trim_end());
        let mut with = object(&format!("[Wed Jul 31 23:14:18 2024] {}", text.trim_end()));
        if let Some(with) = with.as_object_mut() {
            with.insert("at".to_owned(), Value::Null);
        }
        prop_assert_eq!(bare, with);
    }
}

#[test]
fn a_long_line_takes_time_in_proportion() {
    // Quadratic reading of these 64 KiB lines would take minutes.
    for unit in ["NVRM: Xid (", "changed from 0x1 to ", "((((", "[drm:", " in ", "0000:", "a "] {
        let line = unit.repeat((64 << 10) / unit.len());
        for head in ["", "NVRM: ", "amdgpu: ", "Killed process 1 (", "pcieport 0000:00:1c.5: ", "oom-kill:"] {
            read_all(format!("{head}{line}").as_bytes());
        }
    }
}
