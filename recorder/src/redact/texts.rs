//! Texts, redacted: what is a name as a whole, and what has names in it.

use std::borrow::Cow;
use std::sync::OnceLock;

use model::{BootId, Untrusted};
use regex::Regex;

use super::policy::{self, Kind, Treatment};
use super::{MOST_SCANNED, Redactor, lines, scrub};

impl Redactor<'_> {
    /// `GPU-…`, `MIG-…`, `MIG-GPU-…/1/0`: another UUID, the rest as it is.
    pub(super) fn device_id(&self, id: &str) -> String {
        self.devices.of(id, || self.other_device_id(id))
    }

    fn other_device_id(&self, id: &str) -> String {
        static SHAPE: OnceLock<Regex> = OnceLock::new();
        let shape = SHAPE.get_or_init(|| {
            Regex::new(r"^((?:MIG-)?(?:GPU-)?)(.*?)((?:/\d{1,4}){0,2})$").expect("the expression is tested")
        });
        let part =
            |captures: &regex::Captures<'_>, group| captures.get(group).map_or("", |part| part.as_str()).to_owned();
        match shape.captures(id) {
            Some(parts) if !part(&parts, 2).is_empty() => {
                format!("{}{}{}", part(&parts, 1), self.redaction.key.uuid(&part(&parts, 2)), part(&parts, 3))
            }
            _ => self.redaction.key.uuid(id),
        }
    }

    /// The kernel's own names for interfaces say nothing; those that somebody gave, and those with a hardware address in
    /// them, do.
    pub(super) fn interface(&self, name: &str) -> String {
        if is_usual_interface(name) { name.to_owned() } else { self.pseudonym(Kind::Interface, name) }
    }

    pub(super) fn probe(&self, name: &str) -> String {
        let ours = name.len() <= 24
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'));
        if ours { name.to_owned() } else { self.pseudonym(Kind::Label, name) }
    }

    pub(super) fn boot(&self, boot: &BootId) -> BootId {
        if boot.0.is_empty() { boot.clone() } else { BootId(self.redaction.key.uuid(&boot.0)) }
    }

    pub(super) fn text<'t>(&self, treatment: Treatment, text: &'t Untrusted) -> Cow<'t, Untrusted> {
        let raw = text.raw();
        // An empty text is the answer that there is none.
        if raw.is_empty() {
            return Cow::Borrowed(text);
        }
        let told = match treatment {
            Treatment::Keep => return Cow::Borrowed(text),
            Treatment::Note if !self.redaction.keep_lines => self.leave_out(raw.len()),
            Treatment::Scrub | Treatment::Note => self.scrubbed(raw, &[]),
            Treatment::Name(Kind::Interface) => self.interface(raw),
            Treatment::Name(Kind::Mount) if policy::is_system_mount(raw) => return Cow::Borrowed(text),
            Treatment::Name(Kind::Uuid) => self.device_id(raw),
            Treatment::Name(kind) => self.pseudonym(kind, raw),
        };
        Cow::Owned(told.into())
    }

    pub(super) fn leave_out(&self, bytes: usize) -> String {
        self.left_out.set(self.left_out.get() + 1);
        lines::left_out(bytes)
    }

    pub(super) fn pseudonym(&self, kind: Kind, name: &str) -> String {
        self.names.pseudonym(&self.redaction.key, kind, name.trim())
    }

    pub(super) fn scrubbed(&self, text: &str, also: &[(Kind, String)]) -> String {
        String::from_utf8_lossy(&self.scrubbed_bytes(text.as_bytes(), also)).into_owned()
    }

    /// The text with every name replaced, in one pass, so that no pseudonym is taken for a name again.
    pub(super) fn scrubbed_bytes(&self, text: &[u8], also: &[(Kind, String)]) -> Vec<u8> {
        if text.len() > MOST_SCANNED {
            return self.leave_out(text.len()).into_bytes();
        }
        if also.is_empty() {
            return self.texts.of(text, || self.scanned(text, also));
        }
        self.scanned(text, also)
    }

    fn scanned(&self, text: &[u8], also: &[(Kind, String)]) -> Vec<u8> {
        let mut places: Vec<(usize, usize, Cow<'_, str>)> =
            self.names.find(text).map(|(start, end, pseudonym)| (start, end, Cow::Borrowed(pseudonym))).collect();
        for (start, end, kind) in scrub::find(text) {
            let name = text.get(start..end).unwrap_or_default();
            places.push((start, end, Cow::Owned(self.in_text(kind, &String::from_utf8_lossy(name)))));
        }
        for (kind, name) in also.iter().filter(|(_, name)| !name.is_empty()) {
            for start in occurrences(text, name.as_bytes()) {
                places.push((start, start + name.len(), Cow::Owned(self.in_text(*kind, name))));
            }
        }
        if places.is_empty() {
            return text.to_vec();
        }
        // Of those that overlap the first counts, and of those the longest.
        places.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let (mut shown, mut until) = (Vec::with_capacity(text.len()), 0);
        for (start, end, pseudonym) in places {
            if start >= until {
                shown.extend_from_slice(text.get(until..start).unwrap_or_default());
                shown.extend_from_slice(pseudonym.as_bytes());
                until = end;
            } else if end > until {
                // The rest of a name that begins inside another.
                until = end;
            }
        }
        shown.extend_from_slice(text.get(until..).unwrap_or_default());
        shown
    }

    fn in_text(&self, kind: Kind, name: &str) -> String {
        match kind {
            Kind::Interface => self.interface(name),
            Kind::Path => self.names.path(&self.redaction.key, name),
            kind => self.pseudonym(kind, name),
        }
    }
}

/// Where a name stands by itself in a text.
fn occurrences<'t>(text: &'t [u8], name: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.windows(name.len()).enumerate().filter_map(move |(start, found)| {
        let alone =
            !word(start.checked_sub(1).and_then(|before| text.get(before))) && !word(text.get(start + name.len()));
        (found == name && alone).then_some(start)
    })
}

/// Whether it is an identifier as programs have them.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'0'..=b'9'))
}

/// The names that the kernel, udev and the RDMA drivers give by themselves (systemd.net-naming-scheme(7)); `enx…` holds a
/// hardware address and is not among them.
pub(super) fn is_usual_interface(name: &str) -> bool {
    static USUAL: OnceLock<Regex> = OnceLock::new();
    let usual = USUAL.get_or_init(|| {
        let numbered = r"(?:eth|em|ib|bond|usb|wlan|mlx[45]_|mlx5_bond_|bnxt_re|irdma|rxe|siw|hfi1_|qedr|efa_|erdma_|mana_|hns_|cxgb4_|i40iw|ionic_)\d{1,4}";
        let placed = r"(?:en|ib|ro|roce|rdma|wl)(?:o\d{1,5}|(?:P\d{1,5})?(?:p\d{1,3})?s\d{1,5})(?:[fdvi]\d{1,5}|np\d{1,5}|n\d{1,5})*";
        let expression = format!(r"^(?:lo|docker0|{numbered}|{placed})(?:[.:]\d{{1,4}})?$");
        Regex::new(&expression).expect("the expression is tested")
    });
    usual.is_match(name)
}
