//! The table: what was wanted, what was found, and whether the one reaches the other.

/// How a number is judged.
pub(crate) enum Reach {
    /// At most this.
    Most(f64),
    /// Stated only.
    Stated,
}

struct Row {
    what: String,
    reach: String,
    found: String,
    verdict: &'static str,
}

/// Rows in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// A number in a unit; `beside` says what else was found with it.
    pub(crate) fn put(
        &mut self,
        what: impl Into<String>,
        reach: Reach,
        number: f64,
        unit: &str,
        beside: impl Into<String>,
    ) {
        let (reach, verdict) = match reach {
            Reach::Most(most) => (format!("≤ {} {unit}", plain(most)), if number <= most { "yes" } else { "NO" }),
            Reach::Stated => (String::new(), ""),
        };
        let beside = beside.into();
        let found = format!("{} {unit}{}{beside}", digits(number), if beside.is_empty() { "" } else { "; " });
        let what = what.into();
        eprintln!("  {what}: {found}");
        self.rows.push(Row { what, reach: reach.trim_end().to_owned(), found, verdict });
    }

    /// A sentence below the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn print(&self) {
        let width = |column: fn(&Row) -> &str, head: &str| {
            let widths = self.rows.iter().map(|row| column(row).chars().count());
            widths.chain([head.chars().count()]).max().unwrap_or(0)
        };
        let (what, reach) = (width(|row| &row.what, "what"), width(|row| &row.reach, "reach"));
        let found = width(|row| &row.found, "measured");
        println!("\n| {:what$} | {:reach$} | {:found$} | met |", "what", "reach", "measured");
        println!("|{}|{}|{}|-----|", "-".repeat(what + 2), "-".repeat(reach + 2), "-".repeat(found + 2));
        for row in &self.rows {
            println!("| {:what$} | {:reach$} | {:found$} | {:3} |", row.what, row.reach, row.found, row.verdict);
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }
}

/// Three digits of it that mean something.
pub(crate) fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

fn plain(number: f64) -> String {
    format!("{number}")
}
