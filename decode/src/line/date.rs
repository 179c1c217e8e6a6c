//! Dates as logs write them: ISO 8601, RFC 3164, `ctime`, with month names of the languages that journald and syslog
//! print (CLDR abbreviated months).

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::scan::Scan;

/// Abbreviated month names beside the English, folded to lower case without a dot. Where two languages use one word for
/// different months, the one with more speakers stands.
const MONTHS: [&[&str]; 12] = [
    &["jan", "janv", "ene", "gen", "sty", "led", "january"],
    &["feb", "févr", "fév", "fev", "lut", "úno", "febr", "february"],
    &["mar", "mars", "mär", "märz", "mrt", "bře", "márc", "march"],
    &["apr", "avr", "avril", "abr", "kwi", "dub", "ápr", "april"],
    &["may", "mai", "maj", "mei", "mag", "kvě", "máj"],
    &["jun", "juin", "giu", "cze", "čvn", "jún", "juni", "june"],
    &["jul", "juil", "lug", "lip", "čvc", "júl", "juli", "july"],
    &["aug", "août", "aoû", "ago", "sie", "srp", "august"],
    &["sep", "sept", "set", "wrz", "zář", "szept", "september"],
    &["oct", "okt", "ott", "out", "paź", "říj", "october"],
    &["nov", "lis", "november"],
    &["dec", "dez", "déc", "dic", "gru", "pro", "december"],
];

fn month(word: &str) -> Option<i8> {
    let folded = word.trim_end_matches('.').to_lowercase();
    let index = MONTHS.iter().position(|names| names.contains(&folded.as_str()))?;
    i8::try_from(index + 1).ok()
}

/// A date and time as far as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: Option<i16>,
    month: Option<i8>,
    day: i8,
    time: Time,
    offset_s: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
}

impl Date {
    /// Nanoseconds since the epoch, with the year given where none is written.
    pub(super) fn real_ns(self, year: Option<i16>) -> Option<i64> {
        let Time { hour, minute, second, nanos } = self.time;
        let date = DateTime::new(self.year.or(year)?, self.month?, self.day, hour, minute, second, nanos).ok()?;
        let utc = Offset::UTC.to_timestamp(date).ok()?.as_nanosecond();
        i64::try_from(utc - i128::from(self.offset_s) * 1_000_000_000).ok()
    }
}

/// `2025-01-25T10:34:54,859532+00:00`, `2023-06-22 21:55:31.352446`, `…Z`, `…+0200`
pub(super) fn iso(scan: &mut Scan<'_>) -> Option<Date> {
    let mut ahead = *scan;
    let year = number(ahead.digits().filter(|digits| digits.len() == 4)?)?;
    ahead.take("-")?;
    let month = number(two(&mut ahead)?)?;
    ahead.take("-")?;
    let day = number(two(&mut ahead)?)?;
    if !ahead.maybe("T") {
        ahead.take(" ")?;
    }
    let time = time(&mut ahead)?;
    let offset_s = offset(&mut ahead).unwrap_or(0);
    *scan = ahead;
    Some(Date { year: Some(year), month: Some(month), day, time, offset_s })
}

/// `Sep 19 16:18:02`, `jan. 29 20:50:17`, `Wed Jul 31 23:14:18 2024`, `Sep 08 2025 23:21:50`; the month may be in a
/// language we do not know.
pub(super) fn named(scan: &mut Scan<'_>) -> Option<Date> {
    let mut ahead = *scan;
    let first = name(&mut ahead)?;
    ahead.spaces();
    let mut second = ahead;
    let month_word = match name(&mut second) {
        Some(word) => {
            ahead = second;
            ahead.spaces();
            word
        }
        None => first,
    };
    let day = ahead.digits().filter(|digits| digits.len() <= 2).and_then(number)?;
    ahead.maybe(".");
    ahead.take(" ")?;
    ahead.spaces();
    let early_year = year(&mut ahead, true);
    let time = time(&mut ahead)?;
    let year = early_year.or_else(|| year(&mut ahead, false));
    *scan = ahead;
    Some(Date { year, month: month(month_word), day, time, offset_s: 0 })
}

/// A word of letters, short enough for an abbreviated name.
fn name<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let before = *scan;
    let word = scan.some(char::is_alphabetic).filter(|word| word.chars().count() <= 9);
    if word.is_none() {
        *scan = before;
    }
    scan.maybe(".");
    word
}

/// Four digits, before the time with a space behind, or behind it with a space before.
fn year(scan: &mut Scan<'_>, before_time: bool) -> Option<i16> {
    let mut ahead = *scan;
    if !before_time {
        ahead.take(" ")?;
    }
    let year = number(ahead.digits().filter(|digits| digits.len() == 4)?)?;
    if before_time {
        ahead.take(" ")?;
    } else if !(ahead.is_done() || ahead.rest().starts_with([' ', ']'])) {
        return None;
    }
    *scan = ahead;
    Some(year)
}

/// `hh:mm[:ss[.fraction]]`
fn time(scan: &mut Scan<'_>) -> Option<Time> {
    let mut ahead = *scan;
    let hour = number(two(&mut ahead)?)?;
    ahead.take(":")?;
    let minute = number(two(&mut ahead)?)?;
    let mut time = Time { hour, minute, ..Time::default() };
    if ahead.maybe(":") {
        time.second = number(two(&mut ahead)?)?;
        let mut fraction = ahead;
        if (fraction.maybe(".") || fraction.maybe(","))
            && let Some(digits) = fraction.digits()
        {
            let nine: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
            time.nanos = nine.parse().ok()?;
            ahead = fraction;
        }
    }
    *scan = ahead;
    Some(time)
}

/// `Z`, `+00:00`, `-0600`, in seconds east.
fn offset(scan: &mut Scan<'_>) -> Option<i64> {
    let mut ahead = *scan;
    if ahead.maybe("Z") {
        *scan = ahead;
        return Some(0);
    }
    let sign = if ahead.maybe("+") { 1 } else { ahead.take("-").map(|()| -1)? };
    let digits = ahead.digits()?;
    let (hours, minutes) = match digits.len() {
        2 => {
            ahead.take(":")?;
            (digits, two(&mut ahead)?)
        }
        4 => digits.split_at_checked(2)?,
        _ => return None,
    };
    *scan = ahead;
    Some(sign * (number::<i64>(hours)? * 3600 + number::<i64>(minutes)? * 60))
}

fn two<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    scan.digits().filter(|digits| digits.len() == 2)
}

fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    digits.parse().ok()
}

/// `Sep22 09:59`, `Sep 5 09:59`: the full stamp between the deltas of `dmesg --reltime`.
pub(super) fn named_tight(scan: &mut Scan<'_>) -> Option<Date> {
    let mut ahead = *scan;
    let month = month(ahead.some(char::is_alphabetic)?)?;
    ahead.spaces();
    let day = ahead.digits().filter(|digits| digits.len() <= 2).and_then(number)?;
    ahead.take(" ")?;
    let time = time(&mut ahead)?;
    *scan = ahead;
    Some(Date { year: None, month: Some(month), day, time, offset_s: 0 })
}
