//! Fault knowledge as data: `knowledge/xid.toml`, `sxid.toml`, `lines.toml`, embedded. Each file names its sources.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::OnceLock;

use model::{Action, Class, Severity, Verdict};
use serde::Deserialize;

/// The first two numbers of a driver version, which is as far as a change of meaning is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion {
    /// `550` of `550.90.07`.
    pub branch: u32,
    /// `90` of `550.90.07`.
    pub release: u32,
}

/// Why a text is not a driver version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a driver version; expected numbers with dots, e.g. 550.90.07")]
pub struct NotAVersion {
    /// The text as found.
    pub found: String,
}

impl FromStr for DriverVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text.trim().split('.');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        match (number(), number()) {
            (Some(branch), Some(release)) => Ok(Self { branch, release }),
            _ => Err(NotAVersion { found: text.chars().take(64).collect() }),
        }
    }
}

impl<'de> Deserialize<'de> for DriverVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What an Xid code means.
#[derive(Clone, Debug, Deserialize)]
pub struct XidEntry {
    /// The number in the line.
    pub code: u32,
    /// First driver with this meaning.
    pub since: Option<DriverVersion>,
    /// First driver without it.
    pub until: Option<DriverVersion>,
    /// The driver's name for it.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// What it is, in a sentence or two.
    pub meaning: String,
    /// Where the cause lies, as a rule.
    pub class: Class,
    /// How bad when it stands alone.
    pub severity: Severity,
    /// What to do when it stands alone.
    pub action: Action,
    /// Where this is from; the head of the file explains the words.
    pub source: String,
}

impl XidEntry {
    fn holds_for(&self, driver: DriverVersion) -> bool {
        self.since.is_none_or(|since| driver >= since) && self.until.is_none_or(|until| driver < until)
    }

    /// The judgement of a line that says no more than the code.
    pub fn verdict(&self) -> Verdict {
        Verdict { level: self.severity, action: self.action, title: Some(self.title.clone()) }
    }
}

/// What an SXid code means.
#[derive(Clone, Debug, Deserialize)]
pub struct SxidEntry {
    /// The number in the line.
    pub code: u32,
    /// The driver's name for it.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// The unit of the switch.
    pub unit: String,
    /// Where the cause lies, as a rule.
    pub class: Class,
    /// How bad when it stands alone.
    pub severity: Severity,
    /// What to do when it stands alone.
    pub action: Action,
    /// The word in the line does not change the judgement.
    #[serde(default)]
    pub fixed: bool,
}

/// What a line of another kind means.
#[derive(Clone, Debug, Deserialize)]
pub struct LineEntry {
    /// The event kind.
    pub kind: String,
    /// Which of that kind; none for the rest of it.
    pub event: Option<String>,
    /// How bad when it stands alone.
    pub severity: Severity,
    /// What to do when it stands alone.
    pub action: Action,
    /// What it is, in a few words.
    pub title: String,
}

impl LineEntry {
    /// The judgement as an event carries it.
    pub fn verdict(&self) -> Verdict {
        Verdict { level: self.severity, action: self.action, title: Some(self.title.clone()) }
    }
}

/// What some bits of Xid 74's registers mean.
#[derive(Clone, Debug, Deserialize)]
pub struct Nvlink4Entry {
    /// Which of the seven registers, from 1.
    pub register: usize,
    /// Which bits of it.
    pub bits: Vec<u32>,
    /// How bad.
    pub severity: Severity,
    /// What to do.
    pub action: Action,
    /// What they mean.
    pub why: String,
}

#[derive(Deserialize)]
struct XidFile {
    xid: Vec<XidEntry>,
    nvlink4: Vec<Nvlink4Entry>,
}

#[derive(Deserialize)]
struct SxidFile {
    sxid: Vec<SxidEntry>,
}

#[derive(Deserialize)]
struct LineFile {
    line: Vec<LineEntry>,
}

struct Knowledge {
    xids: BTreeMap<u32, Vec<XidEntry>>,
    nvlink4: Vec<Nvlink4Entry>,
    sxids: BTreeMap<u32, SxidEntry>,
    lines: BTreeMap<String, Vec<LineEntry>>,
}

fn knowledge() -> &'static Knowledge {
    static KNOWLEDGE: OnceLock<Knowledge> = OnceLock::new();
    KNOWLEDGE.get_or_init(|| {
        let xid: XidFile = toml::from_str(include_str!("../knowledge/xid.toml")).expect("embedded and read by a test");
        let sxid: SxidFile =
            toml::from_str(include_str!("../knowledge/sxid.toml")).expect("embedded and read by a test");
        let line: LineFile =
            toml::from_str(include_str!("../knowledge/lines.toml")).expect("embedded and read by a test");
        let mut xids = BTreeMap::<u32, Vec<XidEntry>>::new();
        for entry in xid.xid {
            xids.entry(entry.code).or_default().push(entry);
        }
        let mut lines = BTreeMap::<String, Vec<LineEntry>>::new();
        for entry in line.line {
            lines.entry(entry.kind.clone()).or_default().push(entry);
        }
        let sxids = sxid.sxid.into_iter().map(|entry| (entry.code, entry)).collect();
        Knowledge { xids, nvlink4: xid.nvlink4, sxids, lines }
    })
}

/// What an Xid means in this driver; in current drivers where the version is not known or names no older meaning.
pub fn xid(code: u32, driver: Option<DriverVersion>) -> Option<&'static XidEntry> {
    let meanings = knowledge().xids.get(&code)?;
    driver.and_then(|driver| meanings.iter().find(|entry| entry.holds_for(driver))).or_else(|| meanings.last())
}

/// All Xid entries, by code; the current meaning of a code last.
pub fn xids() -> impl Iterator<Item = &'static XidEntry> {
    knowledge().xids.values().flatten()
}

/// What an SXid means.
pub fn sxid(code: u32) -> Option<&'static SxidEntry> {
    knowledge().sxids.get(&code)
}

/// What a line of another kind means: the row with this `event`, else the row for the rest of the kind.
pub fn line(kind: &str, event: Option<&str>) -> Option<&'static LineEntry> {
    let rows = knowledge().lines.get(kind)?;
    let exact = event.and_then(|event| rows.iter().find(|row| row.event.as_deref() == Some(event)));
    exact.or_else(|| rows.iter().find(|row| row.event.is_none()))
}

/// The gravest row of Xid 74's registers that has a bit set here; `None` where a set bit is in no row, or none is set.
pub fn nvlink4(registers: &[u32]) -> Option<&'static Nvlink4Entry> {
    let rows = &knowledge().nvlink4;
    let mask = |bits: &[u32]| bits.iter().fold(0u32, |mask, bit| mask | 1u32.checked_shl(*bit).unwrap_or(0));
    let named =
        |number: usize| rows.iter().filter(|row| row.register == number).fold(0, |all, row| all | mask(&row.bits));
    let mut numbered = registers.iter().enumerate().map(|(index, value)| (index + 1, *value));
    if numbered.clone().any(|(number, value)| value & !named(number) != 0) {
        return None;
    }
    rows.iter()
        .filter(|row| numbered.clone().any(|(number, value)| number == row.register && value & mask(&row.bits) != 0))
        .max_by_key(|row| row.severity)
        .filter(|_| numbered.any(|(_, value)| value != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_what_it_means_in_its_driver() {
        let name = |code, driver: &str| xid(code, driver.parse().ok()).unwrap().name.as_str();
        assert_eq!(name(139, "535.104.05"), "ROBUST_CHANNEL_FAST_PATH_ERROR");
        assert_eq!(name(139, "560.28.03"), "ROBUST_CHANNEL_OFA1_ERROR");
        assert_eq!(name(144, "550.90.07"), "ROBUST_CHANNEL_KEY_ROTATION_ERROR");
        assert_eq!(name(144, "555.58.02"), "RESERVED0_ERROR");
        assert_eq!(name(144, ""), "NVLINK_SAW_ERROR");
        assert_eq!(name(108, "580.82.09"), "DESTINATION_FLA_TRANSLATION_ERROR");
        assert_eq!(name(108, "580.105.08"), "NVLINK_REMOTE_TRANSLATION_ERROR");
    }

    #[test]
    fn every_code_to_177_is_known_and_the_last_meaning_has_no_end() {
        for code in 1..=177 {
            let current = xid(code, None).unwrap_or_else(|| panic!("{code}"));
            assert!(current.until.is_none(), "{code}");
            assert!(!current.title.is_empty() && current.title.len() <= 60, "{code}");
        }
        assert!(xid(999, None).is_none());
        assert_eq!(knowledge().sxids.len(), 399);
    }

    #[test]
    fn the_gravest_calls_are_what_operators_expect() {
        let action = |code| xid(code, None).unwrap().action;
        for (code, expected) in [
            (79, Action::RebootNode),
            (48, Action::ResetGpu),
            (13, Action::RestartApp),
            (31, Action::RestartApp),
            (94, Action::RestartApp),
            (95, Action::DrainReset),
            (119, Action::ResetGpu),
            (120, Action::ResetGpu),
            (63, Action::Monitor),
            (74, Action::ResetGpu),
        ] {
            assert_eq!(action(code), expected, "{code}");
        }
    }

    #[test]
    fn bits_that_no_row_names_leave_the_judgement_to_the_code() {
        assert_eq!(nvlink4(&[1, 0, 0, 0, 0, 0, 0]).unwrap().action, Action::Ignore);
        assert_eq!(nvlink4(&[1 | 1 << 21, 0, 0, 0, 0, 0, 0]).unwrap().action, Action::CheckLink);
        assert!(nvlink4(&[1 | 1 << 2, 0, 0, 0, 0, 0, 0]).is_none());
        assert!(nvlink4(&[0; 7]).is_none());
        assert!(nvlink4(&[]).is_none());
    }

    #[test]
    fn a_kind_without_the_event_falls_back_to_its_common_row() {
        assert_eq!(line("amdgpu", Some("ring_timeout")).unwrap().action, Action::RestartApp);
        assert_eq!(line("amdgpu", Some("never heard of")).unwrap().action, Action::Monitor);
        assert!(line("nothing", None).is_none());
    }

    #[test]
    fn versions_read_and_what_is_none_says_so() {
        assert!("550.100".parse::<DriverVersion>().unwrap() > "550.76".parse().unwrap());
        assert!("550".parse::<DriverVersion>().unwrap_err().to_string().contains("550.90.07"));
    }
}
