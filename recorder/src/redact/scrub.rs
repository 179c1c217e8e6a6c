//! What gives itself away by its form: addresses, UUIDs, paths, the places where the kernel names a task.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use regex::bytes::{Captures, Regex, RegexSet};

use super::policy::Kind;

/// One form: the expression, whose first group (else the whole) is the name, and whether what it found is one.
struct Form {
    kind: Kind,
    expression: &'static str,
    is_one: fn(&str) -> bool,
}

const fn form(kind: Kind, expression: &'static str) -> Form {
    Form { kind, expression, is_one: |_| true }
}

const FORMS: &[Form] = &[
    form(Kind::Uuid, r"(?i)[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"),
    form(Kind::Id, r"(?i)[0-9a-f]{32,128}"),
    // Ethernet has 6 bytes, IP over InfiniBand 20.
    form(Kind::Mac, r"(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?:(?:[:-][0-9a-f]{2}){14})?\b"),
    Form { kind: Kind::Address, expression: r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", is_one: is_ipv6 },
    Form { kind: Kind::Address, expression: r"[0-9.]*[0-9]", is_one: is_ipv4 },
    form(Kind::Guid, r"(?i)\b[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}\b"),
    form(Kind::Guid, r"(?i)guid[ :=]*(?:0x)?([0-9a-f]{16})\b"),
    form(Kind::Lid, r"(?i)\b[sd]?lid[ :=]+((?:0x)?[0-9a-f]{1,4})\b"),
    form(Kind::Url, r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s,;'"<>()]+"#),
    form(Kind::User, r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*"),
    form(
        Kind::Host,
        r"(?i)\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|net|org|edu|gov|mil|int|io|ai|dev|cloud|internal|local|localdomain|lan|corp|intra|home|arpa|svc|cluster|test|example|invalid|de|uk|fr|ch|at|nl|eu|us|cn|jp|kr|in|sg|au|ca)\b",
    ),
    Form { kind: Kind::Path, expression: r#"(?:^|[\s'"=(,:\[<])(/[^\s'",;()<>\]]+)"#, is_one: is_private_path },
    Form { kind: Kind::Path, expression: r"(~[\w-]*/[^\s,;()]+)", is_one: |_| true },
    form(Kind::Cgroup, r"\b(?:\w*memcg|cpuset|cgroup)=([^,\s]+)"),
    // Where the kernel and the driver name a task: oops and OOM reports, hung tasks, Xids.
    form(Kind::Command, r"\b(?:Comm: |[Cc]omm[=:] ?|task=)'?([^',\s]+)"),
    Form { kind: Kind::Command, expression: r"\bpid='?[^,]*, ?name='?([^',]+)", is_one: |name| name != "<unknown>" },
    form(Kind::Command, r"\bKilled process \d+ \(([^)]+)\)"),
    form(Kind::Command, r"\btask ([^\s]+):\d+ blocked\b"),
    form(Kind::Command, r"\bstuck for [^\[]*\[([^\]]+):\d+\]"),
    form(Kind::Command, r"^([^\s].*?) invoked oom-killer"),
    form(Kind::Command, r"^([^\s\[\]:]+)\[\d+\]: (?:segfault|general protection)"),
    form(Kind::Job, r"(?i)\bjob(?:id)?[_=:# -]{1,2}(\d+)"),
    form(Kind::Pod, r"(?i)\bpod[_=: -]{1,2}([a-z0-9][a-z0-9.-]*[a-z0-9])"),
    form(Kind::User, r"(?i)\buser(?:name)?[=:] ?'?([^\s',;]+)"),
    form(Kind::Host, r"(?i)\b(?:nfs: )?server ([^\s,;:]+) (?:not responding|OK)"),
    form(Kind::Host, r"(?i)\bhost(?:name)?[=:] ?'?([^\s',;]+)"),
    form(Kind::Serial, r"(?i)\b(?:serial(?: ?(?:number|no\.?))?|s/n)[=: #]+([\w-]+)"),
];

/// Where something private stands in a text by its form, and what it is.
pub(super) fn find(text: &[u8]) -> Vec<(usize, usize, Kind)> {
    static EXPRESSIONS: OnceLock<(RegexSet, Vec<Regex>)> = OnceLock::new();
    let (together, expressions) = EXPRESSIONS.get_or_init(|| {
        let each = FORMS.iter().map(|form| Regex::new(form.expression).expect("the forms are tested")).collect();
        let all = RegexSet::new(FORMS.iter().map(|form| form.expression)).expect("the forms are tested");
        (all, each)
    });
    // Most lines have none or one of the forms, and one look tells which. Beyond ASCII the words of Unicode make that
    // one look dearer than all the others.
    let matching = text.is_ascii().then(|| together.matches(text));
    let mut found = Vec::new();
    for (number, (form, expression)) in FORMS.iter().zip(expressions).enumerate() {
        if matching.as_ref().is_some_and(|matching| !matching.matched(number)) {
            continue;
        }
        for captures in expression.captures_iter(text) {
            if let Some((start, end)) = private(form, &captures, text) {
                found.push((start, end, form.kind));
            }
        }
    }
    found
}

fn private(form: &Form, captures: &Captures<'_>, text: &[u8]) -> Option<(usize, usize)> {
    let whole = captures.get(1).or_else(|| captures.get(0))?;
    let trailing = match form.kind {
        Kind::Path | Kind::Address | Kind::Url => {
            whole.as_bytes().iter().rev().take_while(|byte| matches!(byte, b'.' | b':')).count()
        }
        _ => 0,
    };
    let (start, end) = (whole.start(), whole.end() - trailing);
    let name = std::str::from_utf8(text.get(start..end)?).unwrap_or("\u{fffd}");
    if name.is_empty() || !(form.is_one)(name) {
        return None;
    }
    if form.kind == Kind::Address {
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if word(start.checked_sub(1).and_then(|before| text.get(before))) || word(text.get(end)) {
            return None;
        }
    }
    Some((start, end))
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok_and(|address| !address.is_unspecified() && !address.is_loopback())
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_unspecified() && !address.is_loopback())
}

/// Not those that every system has: what a kernel line says of `/sys`, `/proc` or `/dev/nvidia3` is the diagnosis.
fn is_private_path(path: &str) -> bool {
    static PUBLIC: OnceLock<Regex> = OnceLock::new();
    let public = PUBLIC.get_or_init(|| {
        let devices = r"nvidia[\w-]*|nvidia-caps/[\w-]+|kmsg|fuse|null|shm|mem|infiniband/\w+|dri/\w+|sd[a-z]+\d*|nvme\d+(?:n\d+)?(?:p\d+)?|loop\d+|md\d+|dm-\d+";
        let expression = format!(r"^(?:/(?:sys|proc|usr|lib|lib64|bin|sbin|boot)(?:/|$)|/dev/(?:{devices})$|//)");
        Regex::new(&expression).expect("the form is tested")
    });
    path.len() > 1 && !super::policy::is_system_mount(path) && !public.is_match(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = find(text.as_bytes());
        found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        found.iter().filter_map(|(start, end, _)| text.get(*start..*end)).collect()
    }

    #[test]
    fn addresses_are_found_and_what_looks_alike_is_not() {
        for (text, expected) in [
            ("peer 10.1.2.3:443 gone", "10.1.2.3"),
            ("from fe80::1ff:fe23:4567:890a.", "fe80::1ff:fe23:4567:890a"),
            ("gid fe80:0000:0000:0000:506b:4b03:00c3:a1f2", "fe80:0000:0000:0000:506b:4b03:00c3:a1f2"),
            ("eth0: 00:1b:21:3c:9d:f8 up", "00:1b:21:3c:9d:f8"),
            ("node guid 0x506b4b0300c3a1f2", "506b4b0300c3a1f2"),
            ("cannot reach bucket.s3.example.com", "bucket.s3.example.com"),
            ("open '/home/maria/x.py'", "/home/maria/x.py"),
            ("pid=77, name=train.py, GPU", "train.py"),
            ("pid='77', name='my app', GPU", "my app"),
            ("Killed process 77 (train.py) total-vm", "train.py"),
            ("INFO: task train.py:77 blocked for more than 120 seconds.", "train.py"),
            ("nfs: server filer7 not responding, timed out", "filer7"),
        ] {
            assert!(found(text).contains(&expected), "{text}: {:?}", found(text));
        }
        for text in [
            "NVRM: Xid (PCI:0000:4f:00): 79, GPU has fallen off the bus.",
            "pcieport 0000:4f:00.0: AER: error at 02:14:33",
            "vbios 96.00.74.00.01, firmware 28.41.1000",
            "driver std::vector 127.0.0.1 ::1 n/a",
            "open /dev/nvidia3 or /proc/77/stat",
            "pid='<unknown>', name=<unknown>, GPU",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
