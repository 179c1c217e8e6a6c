//! `gpudeck drain` and `undrain` against a real one-node Slurm (`tests/peers/slurm.sh`).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use testbed::built;

/// What is done beside the cluster: drain by the incident of a recording, read it back, undrain.
const SCENE: &str = r#"
set -eu
deck=$1 recording=$2 journal=$3
state() { scontrol show node gpu01 --oneliner | tr ' ' '\n' | grep -E '^State=' ; }
$deck drain node --via slurm --node gpu01 --incident-of "$recording" --journal "$journal" --plan
test ! -e "$journal"
echo "PLANNED $(state)"
$deck drain node --via slurm --node gpu01 --incident-of "$recording" --journal "$journal" --yes wrong-name && exit 9
echo "REFUSED $(state)"
$deck drain node --via slurm --node gpu01 --incident-of "$recording" --journal "$journal" --yes gpu01 --format json
echo "DRAINED $(state)"
scontrol show node gpu01 | grep Reason=
$deck undrain node --via slurm --node gpu01 --journal "$journal" --yes
echo "UNDRAINED $(state)"
scontrol update NodeName=gpu01 State=DRAIN Reason="maria looks at it"
$deck drain node --via slurm --node gpu01 --reason mine --journal "$journal" --yes gpu01 && exit 9
$deck undrain node --via slurm --node gpu01 --journal "$journal" --yes gpu01 && exit 9
scontrol show node gpu01 | grep Reason=
"#;

#[test]
fn a_node_is_drained_by_an_incident_and_undrained_and_somebody_elses_drain_is_left_alone() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(home.join("tests/peers/slurm.sh"))
        .args(["bash", "-c", SCENE, "scene"])
        .arg(built("gpudeck"))
        .arg(home.join("replay-fixtures/xid79-fell-off/recording.gdk"))
        .arg(directory.path().join("journal.jsonl"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) {
        let _nobody_reads = writeln!(std::io::stderr(), "skipped: {told}");
        return;
    }
    assert!(output.status.success(), "{said}\n{told}");
    for expected in ["PLANNED State=IDLE", "REFUSED State=IDLE", "DRAINED State=IDLE+DRAIN", "UNDRAINED State=IDLE"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}\n{told}");
    }
    assert!(said.contains("\"outcome\": \"done\""), "{said}");
    assert!(said.contains("Reason=gpudeck:") && said.contains("(Xid 79)"), "the incident is the reason:\n{said}");
    assert!(said.trim_end().contains("Reason=maria looks at it"), "{said}\n{told}");
}
