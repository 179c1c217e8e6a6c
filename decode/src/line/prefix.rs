//! What stands before the text of a plain line, piece by piece: levels, stamps, host, tag. Each piece is taken only where
//! it is complete, so that the text of a line never loses its own beginning (`[drm] …`, `mce: …`).

use model::Stamp;

use super::date;
use crate::scan::Scan;

/// A plain line taken apart.
pub(super) struct Prefix<'a> {
    pub(super) at: Stamp,
    /// Nanoseconds since the line before, where that is all the stamp tells.
    pub(super) delta_ns: Option<u64>,
    pub(super) priority: Option<u8>,
    pub(super) facility: Option<u32>,
    /// The line's text, bytes as they came.
    pub(super) text: &'a [u8],
}

/// Real lines have up to five pieces (`kernel: Jan 21 11:18:36 host kernel: [ 1.0]`).
const MOST_PIECES: usize = 8;

pub(super) fn strip(line: &[u8], year: Option<i16>) -> Prefix<'_> {
    // A prefix is text; what is not begins behind it.
    let valid = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => line.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or(""),
    };
    let mut state = State { scan: Scan::new(valid), year, dated: false, ..State::default() };
    for _ in 0..MOST_PIECES {
        if !PIECES.iter().any(|piece| state.attempt(*piece)) {
            break;
        }
    }
    let taken = valid.len() - state.scan.rest().len();
    Prefix {
        at: state.at,
        delta_ns: state.delta_ns,
        priority: state.priority,
        facility: state.facility,
        text: line.get(taken..).unwrap_or_default(),
    }
}

#[derive(Clone, Copy)]
struct State<'a> {
    scan: Scan<'a>,
    year: Option<i16>,
    at: Stamp,
    delta_ns: Option<u64>,
    priority: Option<u8>,
    facility: Option<u32>,
    /// A wall clock stamp has been read, so a host may follow.
    dated: bool,
}

impl Default for State<'_> {
    fn default() -> Self {
        Self {
            scan: Scan::new(""),
            year: None,
            at: Stamp::default(),
            delta_ns: None,
            priority: None,
            facility: None,
            dated: false,
        }
    }
}

type Piece = for<'a> fn(&mut State<'a>) -> Option<()>;

const PIECES: &[Piece] =
    &[number, decoded_level, console_level, bracket, caller, iso_stamp, named_stamp, unix_stamp, host];

impl State<'_> {
    fn attempt(&mut self, piece: Piece) -> bool {
        let mut ahead = *self;
        let taken = piece(&mut ahead).is_some();
        if taken {
            *self = ahead;
        }
        taken
    }

    fn dated(&mut self, date: date::Date) {
        self.dated = true;
        self.at.real_ns = self.at.real_ns.or_else(|| date.real_ns(self.year));
    }

    fn level(&mut self, facility: u32, priority: u8) {
        self.facility = self.facility.or(Some(facility));
        self.priority = self.priority.or(Some(priority));
    }
}

/// `<3>` of `dmesg -r`, pstore and syslog's wire form; `<3>1 ` begins an RFC 5424 line.
fn number(state: &mut State<'_>) -> Option<()> {
    let mut scan = state.scan;
    scan.take("<")?;
    let number: u32 = scan.digits().filter(|digits| digits.len() <= 3)?.parse().ok()?;
    scan.take(">")?;
    let mut wire = scan;
    if wire.maybe("1 ") && date::iso(&mut wire.clone()).is_some() {
        scan = rfc5424(wire, state)?;
    }
    state.scan = scan;
    state.level(number >> 3, u8::try_from(number & 7).ok()?);
    Some(())
}

/// `STAMP HOST APP PROCID MSGID SD text`; only the kernel's own lines lose their head.
fn rfc5424<'a>(mut scan: Scan<'a>, state: &mut State<'a>) -> Option<Scan<'a>> {
    let date = date::iso(&mut scan)?;
    scan.take(" ")?;
    scan.word()?;
    scan.take(" kernel ")?;
    scan.word()?;
    scan.take(" ")?;
    scan.word()?;
    scan.take(" ")?;
    if !scan.maybe("-") {
        scan.take("[")?;
        scan.until("]")?;
    }
    scan.maybe(" ");
    scan.maybe("\u{feff}");
    state.dated(date);
    Some(scan)
}

const FACILITIES: &[&str] =
    &["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
const LEVELS: &[&[&str]] = &[
    &["emerg"],
    &["alert"],
    &["crit", "critical"],
    &["err", "error"],
    &["warn", "warning"],
    &["notice"],
    &["info"],
    &["debug"],
];

fn facility(word: &str) -> Option<u32> {
    let local = word.strip_prefix("local").and_then(|n| n.parse::<u32>().ok()).filter(|n| *n < 8).map(|n| n + 16);
    local.or_else(|| u32::try_from(FACILITIES.iter().position(|name| *name == word)?).ok())
}

fn priority(word: &str) -> Option<u8> {
    u8::try_from(LEVELS.iter().position(|names| names.contains(&word))?).ok()
}

/// `kern  :err   : ` of `dmesg -x`
fn decoded_level(state: &mut State<'_>) -> Option<()> {
    let scan = &mut state.scan;
    let facility = facility(scan.some(|c| c.is_ascii_alphanumeric())?)?;
    scan.spaces();
    scan.take(":")?;
    let priority = priority(scan.some(|c| c.is_ascii_alphabetic())?)?;
    scan.spaces();
    scan.take(":")?;
    scan.maybe(" ");
    state.level(facility, priority);
    Some(())
}

/// `192.168.11.119: kern: warning: [2026-04-22T21:27:51.291660856Z]: ` of `talosctl dmesg`
fn console_level(state: &mut State<'_>) -> Option<()> {
    let scan = &mut state.scan;
    let mut ahead = *scan;
    let node = ahead.some(|c| !c.is_whitespace() && c != ':').filter(|word| facility(word).is_none());
    if node.is_some() && ahead.maybe(": ") {
        *scan = ahead;
    }
    let facility = facility(scan.some(|c| c.is_ascii_alphanumeric())?)?;
    scan.take(": ")?;
    let priority = priority(scan.some(|c| c.is_ascii_alphabetic())?)?;
    scan.take(": ")?;
    state.level(facility, priority);
    Some(())
}

/// `[  123.456]`, `[  +0.000008]`, `[  1.234567 <  0.000123>]`, `[Wed Jul 31 23:14:18 2024]`, `[2026-04-22T21:27:51Z]:`
fn bracket(state: &mut State<'_>) -> Option<()> {
    state.scan.take("[")?;
    state.scan.spaces();
    let mut scan = state.scan;
    if scan.maybe("+") {
        state.delta_ns = Some(seconds(&mut scan)?);
    } else if let Some(mono) = seconds(&mut scan) {
        let mut ahead = scan;
        ahead.spaces();
        if ahead.maybe("<") {
            ahead.until(">")?;
            scan = ahead;
        }
        // 1970 is no boot: `[1704110400.1]` never occurs, but a first stamp wins over a quoted second.
        state.at.mono_ns = state.at.mono_ns.or(Some(mono));
    } else {
        scan = state.scan;
        let date = date::iso(&mut scan).or_else(|| date::named(&mut scan)).or_else(|| date::named_tight(&mut scan))?;
        state.dated(date);
    }
    scan.spaces();
    scan.take("]")?;
    scan.maybe(":");
    scan.maybe(" ");
    state.scan = scan;
    Some(())
}

/// `[ T1234]`, `[    C0]`: the caller, on kernels with `CONFIG_PRINTK_CALLER`.
fn caller(state: &mut State<'_>) -> Option<()> {
    let scan = &mut state.scan;
    scan.take("[")?;
    scan.spaces();
    if !scan.maybe("T") {
        scan.take("C")?;
    }
    scan.digits()?;
    scan.take("]")?;
    scan.maybe(" ");
    state.at.mono_ns.map(|_| ())
}

fn iso_stamp(state: &mut State<'_>) -> Option<()> {
    // `journalctl -o short-full` names the day of the week before, the zone behind.
    let mut scan = state.scan;
    let weekday = scan.some(char::is_alphabetic).is_some_and(|day| day.chars().count() <= 4) && scan.maybe(" ");
    if weekday && let Some(date) = date::iso(&mut scan) {
        scan.take(" ")?;
        scan.word()?;
        scan.take(" ")?;
        state.scan = scan;
        state.dated(date);
        return Some(());
    }
    let date = date::iso(&mut state.scan)?;
    state.scan.take(" ")?;
    state.dated(date);
    Some(())
}

fn named_stamp(state: &mut State<'_>) -> Option<()> {
    let date = date::named(&mut state.scan)?;
    state.scan.take(" ")?;
    state.dated(date);
    Some(())
}

/// `1704110400.123456 host kernel: ` of `journalctl -o short-unix`
fn unix_stamp(state: &mut State<'_>) -> Option<()> {
    let mut scan = state.scan;
    let whole = scan.some(|c| c.is_ascii_digit() || c == '.')?;
    scan.take(" ")?;
    let mut ahead = Scan::new(whole);
    let ns = seconds(&mut ahead).filter(|_| ahead.is_done() && whole.contains('.') && whole.len() >= 12)?;
    let mut behind = State { scan, dated: true, ..*state };
    host(&mut behind)?;
    behind.at.real_ns = behind.at.real_ns.or_else(|| i64::try_from(ns).ok());
    *state = behind;
    Some(())
}

/// `kernel: `, `host kernel: `; behind a date also `host name[pid]: `, of which the tag stays: it says that the line is
/// not the kernel's.
fn host(state: &mut State<'_>) -> Option<()> {
    let mut scan = state.scan;
    if scan.maybe("kernel:") {
        scan.maybe(" ");
        state.scan = scan;
        return Some(());
    }
    scan.some(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))?;
    scan.take(" ")?;
    let tagged = scan;
    if scan.maybe("kernel:") {
        scan.maybe(" ");
        state.scan = scan;
        return Some(());
    }
    scan.some(|c| !c.is_whitespace() && !matches!(c, ':' | '['))?;
    scan.take("[")?;
    scan.digits()?;
    scan.take("]: ")?;
    state.scan = tagged;
    state.dated.then_some(())
}

/// Seconds with up to nine decimals, in nanoseconds. What is beyond any uptime or date is still a stamp.
fn seconds(scan: &mut Scan<'_>) -> Option<u64> {
    let mut ahead = *scan;
    let whole: u64 = ahead.digits()?.parse().ok()?;
    let mut nanos = 0;
    let mut fraction = ahead;
    if fraction.maybe(".")
        && let Some(digits) = fraction.digits()
    {
        let nine: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
        nanos = nine.parse().ok()?;
        ahead = fraction;
    }
    // A date is no number of seconds.
    if ahead.rest().starts_with(['-', ':', 'T']) {
        return None;
    }
    *scan = ahead;
    Some(whole.saturating_mul(1_000_000_000).saturating_add(nanos))
}
