//! NVSwitch SXid lines. One fault prints up to three: a message, its severity record, its data record. Formats:
//! open-gpu-kernel-modules `src/common/nvswitch` (595), Fabric Manager guide DU-09883 appendix D.

use model::{Action, Entity, Field, Severity, Verdict};

use super::{Context, Decoded};
use crate::knowledge;
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    if !text.starts_with("nvidia-") {
        return None;
    }
    let switch = scan.some(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))?;
    scan.take(": SXid (")?;
    scan.maybe("PCI:");
    let pci = scan.pci()?;
    scan.take("):")?;
    scan.spaces();
    let code: u32 = scan.digits()?.parse().ok()?;
    if !(scan.is_done() || scan.rest().starts_with([',', ' '])) {
        return None;
    }
    scan.maybe(",");
    scan.spaces();
    let decoded = Decoded::new("sxid").placed(pci, Entity::NvSwitch).with("switch", switch).with("code", code);
    let decoded = record(decoded, scan);
    let verdict = verdict(&decoded, code);
    Some(decoded.verdict(verdict))
}

fn record(decoded: Decoded, mut scan: Scan<'_>) -> Decoded {
    if scan.maybe("Data {") {
        let inside = scan.rest().split('}').next().unwrap_or("");
        let words = inside.split(',').map(str::trim).filter(|word| word.starts_with("0x"));
        return decoded.with("record", "data").with("data", Field::List(words.take(64).map(Field::from).collect()));
    }
    let before = scan;
    if let Some((severity, engine, sub)) = severity_record(&mut scan) {
        let decoded = decoded.with("record", "severity").with("severity_num", severity);
        return decoded.with_some("engine", engine).with_some("sub", sub);
    }
    message(decoded, before)
}

/// `Severity 1 Engine instance 60 Sub-engine instance 00`
fn severity_record(scan: &mut Scan<'_>) -> Option<(i64, Option<i64>, Option<i64>)> {
    scan.take("Severity ")?;
    let severity = scan.int()?;
    let engine = scan.until("Engine instance ").and_then(|_| scan.int());
    let sub = scan.until("Sub-engine instance ").and_then(|_| scan.int());
    Some((severity, engine, sub))
}

/// `[Fatal|Non-fatal, ][Link NN ]text[ (First)]`; `(First)` marks the first error latched in that unit.
fn message(decoded: Decoded, mut scan: Scan<'_>) -> Decoded {
    let word = ["Fatal", "Non-fatal"].into_iter().find(|word| {
        let mut ahead = scan;
        ahead.maybe(word) && (ahead.is_done() || ahead.rest().starts_with(','))
    });
    if let Some(word) = word {
        scan.maybe(word);
        scan.maybe(",");
        scan.spaces();
    }
    let decoded = decoded.with_some("severity", word);
    let mut ahead = scan;
    let link = ahead.take("Link ").and_then(|()| ahead.int());
    let text = if link.is_some() { ahead.rest() } else { scan.rest() }.trim();
    let (text, first) = match text.strip_suffix("(First)") {
        Some(text) => (text.trim_end(), true),
        None => (text, false),
    };
    let decoded = decoded.with_some("link", link);
    if text.is_empty() || text == "Link" {
        return decoded;
    }
    decoded.with("message", text).with("first", first)
}

/// The code's entry, corrected by the word in the line unless the entry says that the word misleads.
fn verdict(decoded: &Decoded, code: u32) -> Verdict {
    let word = decoded.fields.get("severity").and_then(Field::as_text);
    let number = decoded.fields.get("severity_num").and_then(Field::as_int);
    let fatal = word == Some("Fatal") || number == Some(1);
    let harmless = word == Some("Non-fatal") || number == Some(0);
    let Some(entry) = knowledge::sxid(code) else {
        let (level, action) =
            if fatal { (Severity::Critical, Action::DrainReset) } else { (Severity::Warning, Action::ContactSupport) };
        return Verdict { level, action, title: Some(format!("Unknown SXid {code}")) };
    };
    let (level, action) = match (entry.severity, entry.action) {
        (level, action) if entry.fixed => (level, action),
        (level, _) if fatal && level < Severity::Critical => (Severity::Critical, Action::DrainReset),
        (level, _) if harmless && level > Severity::Warning => (Severity::Warning, Action::Monitor),
        (level, action) => (level, action),
    };
    Verdict { level, action, title: Some(entry.title.clone()) }
}
