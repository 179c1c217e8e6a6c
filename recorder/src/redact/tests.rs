//! Planted secrets are found nowhere in a redacted piece, and what belongs together still does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

use model::{BootId, Draft, Event, KernelRecord, MetricName, Reading, Stamp, catalogue};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::{Cut, Recording, Sync, Writer, trim};

const S: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Secrets {
    host: String,
    domain: String,
    user: String,
    command: String,
    path: String,
    mount: String,
    bucket: String,
    pod: String,
    container: String,
    job: String,
    serial: String,
    uuid: String,
    ipv4: String,
    ipv6: String,
    mac: String,
    interface: String,
}

impl Secrets {
    fn all(&self) -> Vec<&str> {
        vec![
            &self.host,
            &self.domain,
            &self.user,
            &self.command,
            &self.path,
            &self.mount,
            &self.bucket,
            &self.pod,
            &self.container,
            &self.job,
            &self.serial,
            &self.uuid,
            &self.ipv4,
            &self.ipv6,
            &self.mac,
            &self.interface,
        ]
    }

    /// A sentence with all of them, as an error message or a log line may hold them.
    fn sentence(&self) -> String {
        let Self { host, domain, user, command, path, mount, bucket, pod, container, .. } = self;
        let Self { job, serial, uuid, ipv4, ipv6, mac, interface, .. } = self;
        format!(
            "{command}[77]: {user}@{host}.{domain} opened /home/{user}/{path} and {mount}/{path} of s3://{bucket}/x in \
             {pod} ({container}) job={job} GPU-{uuid} S/N {serial}: {ipv4}:443 [{ipv6}] {mac} {interface}; {host}: no"
        )
    }
}

fn secrets() -> impl Strategy<Value = Secrets> {
    (any::<u128>(), "q[a-z]{5,9}", "z[a-z]{4,9}", "x[a-z]{2,6}_[a-z]{3,12}", "[a-z]{4,8}q7").prop_map(
        |(random, host, user, command, path)| {
            let hex = format!("{random:032x}");
            let part = |from: usize, length: usize| hex[from..from + length].to_owned();
            let mac = hex.as_bytes()[..12].chunks(2).map(|two| String::from_utf8_lossy(two).into_owned());
            let mac = mac.collect::<Vec<_>>().join(":");
            let octet = |shift: u32| 11 + (random >> shift & 0x7f);
            Secrets {
                domain: format!("lab{}.example", part(0, 4)),
                pod: format!("trainer-{}-0", part(4, 5)),
                bucket: format!("{path}-bucket-{}", part(9, 4)),
                mount: format!("/data/{path}{}", part(13, 4)),
                container: format!("{hex}{hex}"),
                job: format!("{}", 10_000_000 + random % 1_000_000),
                serial: format!("16{:011}", random % 99_999_999_999),
                uuid: format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 4), part(12, 4), part(16, 4), part(20, 12)),
                ipv4: format!("10.{}.{}.{}", octet(0), octet(8), octet(16)),
                ipv6: format!("fd00:{:x}:{:x}::{:x}", octet(24), octet(32), octet(40)),
                interface: format!("enx{}", mac.replace(':', "")),
                mac,
                host,
                user,
                command,
                path,
            }
        },
    )
}

fn event(secrets: &Secrets, kind: &'static str, at: Stamp) -> Event {
    Event::new(at, kind)
        .with("text", secrets.sentence())
        .with("why", secrets.sentence())
        .with("last_words", secrets.sentence())
        .with("invented_later", secrets.sentence())
        .with("user", secrets.user.as_str())
        .about(Entity::Mount(secrets.mount.clone()))
}

fn line(text: String, at: Stamp) -> Event {
    let dictionary = vec![("SUBSYSTEM".to_owned(), "net".to_owned()), ("DEVICE".to_owned(), format!("n8:{text}"))];
    let text = text.into_bytes();
    let record = KernelRecord { text, sequence: Some(7), priority: Some(3), facility: Some(0), dictionary, line: None };
    Event { record: Some(record), ..Event::new(at, model::event::KERNEL_LINE) }
}

fn draft(secrets: &Secrets, second: u64) -> Draft {
    let at = Stamp::new(second * S, i64::try_from(second * S).unwrap());
    let mut draft = Draft::new("process", at);
    draft.boot = BootId(secrets.uuid.clone());
    let gpu = Entity::gpu(format!("GPU-{}", secrets.uuid));
    let process = Entity::Process(77, 5);
    let mount = Entity::Mount(secrets.mount.clone());
    let told = [
        EntityInfo::new(Entity::Node, format!("{}.{}", secrets.host, secrets.domain)),
        EntityInfo::new(gpu.clone(), "GPU 0").at("0000:4f:00.0".parse().unwrap()),
        EntityInfo::new(process.clone(), secrets.command.as_str()).linked_to(vec![gpu.clone()]),
        EntityInfo::new(mount.clone(), secrets.mount.as_str()),
        EntityInfo::new(Entity::Container(secrets.container.clone()), secrets.pod.as_str()),
        EntityInfo::new(Entity::Job(secrets.job.clone()), secrets.sentence()),
        EntityInfo::new(Entity::Interface(secrets.interface.clone()), secrets.interface.as_str()),
        EntityInfo::new(Entity::RdmaPort(secrets.host.clone(), 1), secrets.sentence()),
        EntityInfo::new(Entity::NvLink(GpuKey::Uuid(format!("GPU-{}", secrets.uuid)), 3), secrets.sentence()),
        EntityInfo::new(Entity::Mig(format!("MIG-GPU-{}/1/0", secrets.uuid)), "MIG 1g.10gb").under(gpu.clone()),
    ];
    draft.entities.extend(told);
    draft.read(&gpu, catalogue::GPU_SERIAL, secrets.serial.as_str());
    draft.read(&gpu, catalogue::GPU_NAME, "NVIDIA H100 80GB HBM3");
    draft.read(&Entity::Node, catalogue::HOST_NAME, secrets.host.as_str());
    draft.read(&process, catalogue::PROCESS_USER, secrets.user.as_str());
    draft.read(&process, catalogue::PROCESS_COMMAND, format!("{} --in /mnt/{}", secrets.command, secrets.path));
    draft.read(&process, catalogue::PROCESS_POD, secrets.pod.as_str());
    draft.read(&process, catalogue::PROCESS_CONTAINER, "");
    draft.read(&process, catalogue::PROCESS_JOB, secrets.job.as_str());
    draft.read(&process, MetricName::raw("process.invented_later"), secrets.sentence());
    draft.read(&mount, catalogue::FUSE_SOURCE, format!("s3://{}/{}", secrets.bucket, secrets.path));
    draft.read(&mount, catalogue::FUSE_STATE, Reading::Stuck(5, format!("statfs {}", secrets.mount)));
    draft.events.push(event(secrets, "mark", at));
    draft.events.push(event(secrets, "invented_later", at));
    draft.events.push(line(secrets.sentence(), at));
    draft.events.push(line(format!("NVRM: Xid (PCI:0000:4f:00): 13, pid=77, name={}, GPC 1", secrets.command), at));
    draft.fault(format!("open {}/.stats", secrets.mount), Some(mount), secrets.sentence());
    draft.fault("worker", None, secrets.sentence());
    draft
}

/// In the place of the decoder's knowledge: Xids mean something.
fn meaning(event: &Event) -> Option<Known> {
    let text = String::from_utf8_lossy(&event.record.as_ref()?.text).into_owned();
    let rest = text.strip_prefix("NVRM: Xid (PCI:0000:4f:00): ")?;
    Some(Known { gist: rest.split(',').next()?.to_owned(), names: Vec::new() })
}

fn redacted(secrets: &Secrets, keep_lines: bool) -> (tempfile::TempDir, Recording) {
    let directory = tempfile::tempdir().unwrap();
    let (whole, piece) = (directory.path().join("whole.gdk"), directory.path().join("piece.gdk"));
    let header = Header::new(BootId(secrets.uuid.clone()), Stamp::new(0, 0), S)
        .host("hostname", secrets.host.as_str())
        .host("rack", secrets.sentence())
        .driver("driver_version", "570.124.06");
    let mut writer = Writer::create(&whole, &header, Sync::Off).unwrap();
    let mut dictionary = Dictionary::default();
    for second in 1..=5 {
        let mut frame = draft(secrets, second).seal(&mut dictionary);
        frame.seq = second;
        let _appended = writer.append(&frame);
    }
    writer.finish().unwrap();
    let redaction = Redaction { key: Key::new(&[9; 32]), keep_lines, meaning: &meaning };
    trim(&Recording::open(&whole).unwrap(), Cut::default(), Some(&redaction), &piece).unwrap();
    let recording = Recording::open(&piece).unwrap();
    (directory, recording)
}

fn everything(recording: &Recording) -> String {
    let mut told = Vec::new();
    crate::export::jsonl(recording, &mut told).unwrap();
    for frame in recording.frames() {
        told.extend(frame.unwrap().to_wire().unwrap());
    }
    told.extend(recording.header().to_bytes().unwrap());
    String::from_utf8_lossy(&told).to_lowercase()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_secret_is_anywhere_in_a_redacted_piece(secrets in secrets(), keep_lines in any::<bool>()) {
        let (_directory, recording) = redacted(&secrets, keep_lines);
        let told = everything(&recording);
        for secret in secrets.all() {
            let at = told.find(&secret.to_lowercase());
            prop_assert!(
                at.is_none(),
                "{secret}: {}",
                told.get(at.unwrap().saturating_sub(60)..at.unwrap() + 60).unwrap_or("")
            );
        }
    }
}

fn some_secrets() -> Secrets {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    secrets().new_tree(&mut runner).unwrap().current()
}

#[test]
fn what_belongs_together_still_does() {
    let secrets = some_secrets();
    let (_directory, recording) = redacted(&secrets, false);
    let key = Key::new(&[9; 32]);
    let (command, host) = (key.pseudonym("cmd", &secrets.command), key.pseudonym("host", &secrets.host));
    let gpu = Entity::gpu(format!("GPU-{}", key.uuid(&secrets.uuid)));
    let frame = recording.frames().next().unwrap().unwrap();
    let label =
        |entity: &Entity| frame.entities.iter().find(|info| info.entity == *entity).unwrap().label.raw().to_owned();
    assert_eq!(
        (label(&Entity::Node), label(&gpu), label(&Entity::Process(77, 5))),
        (host.clone(), "GPU 0".to_owned(), command.clone())
    );
    assert_eq!(recording.header().host["hostname"].raw(), host);
    let xid = frame.events.iter().filter_map(|event| event.record.as_ref()).nth(1).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&xid.text),
        format!("NVRM: Xid (PCI:0000:4f:00): 13, pid=77, name={command}, GPC 1")
    );
    let left_out = frame.events.iter().filter_map(|event| event.record.as_ref()).next().unwrap();
    assert!(left_out.text.starts_with(b"[redacted "), "{left_out:?}");
}

#[test]
fn numbers_times_pci_addresses_and_known_facts_stay() {
    let (_directory, recording) = redacted(&some_secrets(), false);
    let told = everything(&recording);
    for kept in ["nvidia h100 80gb hbm3", "570.124.06", "0000:4f:00.0", "1970-01-01t00:00:03"] {
        assert!(told.contains(kept), "{kept}");
    }
    let manifest = recording.header().redaction.as_ref().unwrap();
    assert!(manifest["pseudonyms"].contains("hosts"));
    assert_eq!(manifest["key"], "given by the sender");
}

#[test]
fn usual_interface_names_stay_and_those_with_an_address_in_them_do_not() {
    for usual in
        ["lo", "eth0", "ens3f0np0", "enp65s0f1np1", "eno1", "ib0", "mlx5_0", "mlx5_bond_0", "bond0.100", "ibp12s0"]
    {
        assert!(is_usual_interface(usual), "{usual}");
    }
    for chosen in ["enx001b213c9df8", "acme0net", "veth1a2b3c", "customer", "br-acme"] {
        assert!(!is_usual_interface(chosen), "{chosen}");
    }
}

#[test]
fn a_text_longer_than_any_line_is_left_out_unread() {
    let redaction = Redaction { key: Key::new(&[1; 32]), keep_lines: true, meaning: &|_| None };
    let mut redactor = Redactor::new(&redaction);
    redactor.complete();
    assert_eq!(redactor.scrubbed(&":1.".repeat(50_000), &[]), "[redacted 150000 bytes]");
    assert_eq!(redactor.left_out(), 1);
}
