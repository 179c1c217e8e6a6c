//! The process probe on a tree as procfs shows it, and on the machine that runs the test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod captured;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use captured::{of, read};
use model::{Draft, Entity, Reading};
use probes::Node;
use probes::process::Processes;

const CONTAINER: &str = "4c0f1b6a2e3d4c5b6a7988776655443322110ffeeddccbbaa99887766554433f";
const POD: &str = "0c2d1e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5";

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A process as procfs shows it.
struct Process<'a> {
    pid: u32,
    comm: &'a str,
    state: char,
    start: u64,
    cpus: &'a str,
    cgroup: &'a str,
    files: &'a [&'a str],
}

const PYTHON: Process<'_> = Process {
    pid: 4321,
    comm: "python",
    state: 'S',
    start: 987_654,
    cpus: "0-3",
    cgroup: "0::/user.slice/session-3.scope\n",
    files: &["/dev/null", "/dev/nvidiactl", "/dev/nvidia0", "socket:[77]"],
};

impl Process<'_> {
    fn put(&self, root: &Path) {
        let Self { pid, comm, state, start, cpus, cgroup, files } = self;
        let stat = format!("{pid} ({comm}) {state} 1 1 1 0 -1 0 1 0 0 0 250 50 0 0 20 0 9 0 {start} 0 0\n");
        write(root, &format!("proc/{pid}/stat"), stat);
        let status =
            format!("Name:\t{comm}\nUid:\t1000\t1000\t1000\t1000\nVmRSS:\t 2048 kB\nCpus_allowed_list:\t{cpus}\n");
        write(root, &format!("proc/{pid}/status"), status);
        write(root, &format!("proc/{pid}/cgroup"), cgroup);
        write(root, &format!("proc/{pid}/cmdline"), "python\0train.py\0--token\0secret\0");
        write(root, &format!("proc/{pid}/environ"), "HOME=/root\0");
        write(root, &format!("proc/{pid}/wchan"), "nvidia_ioctl");
        let open = root.join(format!("proc/{pid}/fd"));
        let _before = fs::remove_dir_all(&open);
        fs::create_dir_all(&open).unwrap();
        for (number, target) in files.iter().enumerate() {
            symlink(target, open.join(number.to_string())).unwrap();
        }
    }
}

/// Two GPUs, one on each of two NUMA nodes of four CPUs; one account.
fn node() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    for (minor, address, numa, cpus) in [(0, "0000:18:00.0", 0, "0-3"), (1, "0000:9a:00.0", 1, "4-7")] {
        let information = format!("Model: \t\t NVIDIA H100\nDevice Minor: \t {minor}\n");
        write(root, &format!("proc/driver/nvidia/gpus/{address}/information"), information);
        write(root, &format!("sys/bus/pci/devices/{address}/numa_node"), format!("{numa}\n"));
        write(root, &format!("sys/bus/pci/devices/{address}/local_cpulist"), format!("{cpus}\n"));
    }
    write(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
    tree
}

fn told(tree: &tempfile::TempDir) -> Draft {
    read(&mut Processes::new(&Node::at(tree.path())), "process", 1)
}

#[test]
fn who_holds_a_gpu_is_found_by_its_open_files() {
    let tree = node();
    PYTHON.put(tree.path());
    Process { pid: 1, comm: "systemd", start: 5, files: &["/dev/null"], ..PYTHON }.put(tree.path());
    Process { pid: 50, comm: "rocm", start: 6, files: &["/dev/kfd"], ..PYTHON }.put(tree.path());
    let draft = told(&tree);
    let mut found: Vec<String> = draft.entities.iter().map(|info| info.entity.to_string()).collect();
    found.sort();
    assert_eq!(found, ["process:4321@987654", "process:50@6"]);
    let python = of(&draft, "process:4321@987654");
    assert_eq!(python.info().label.raw(), "python");
    assert_eq!(python.text("process.command"), "python");
    assert_eq!(python.text("process.user"), "ann");
    assert_eq!(python.text("process.state"), "S");
    assert_eq!(python.text("process.wchan"), "");
    assert_eq!(python.number("process.rss"), 2_097_152.0);
    assert_eq!(python.text("process.container"), "");
    assert_eq!(python.text("process.job"), "");
    assert_eq!(python.reading("process.cpu"), None, "no time passes in a captured tree");
    assert_eq!(draft.faults, []);
    assert_eq!(of(&draft, "probe:process").text("probe.state"), "ok");
}

#[test]
fn a_command_line_is_told_only_where_it_was_allowed() {
    let tree = node();
    PYTHON.put(tree.path());
    assert!(!format!("{:?}", told(&tree)).contains("secret"));
    let mut allowed = Node::at(tree.path());
    allowed.command_lines = true;
    let draft = read(&mut Processes::new(&allowed), "process", 1);
    assert_eq!(of(&draft, "process:4321@987654").info().label.raw(), "python train.py --token secret");
    assert_eq!(of(&draft, "process:4321@987654").text("process.command"), "python");
}

#[test]
fn a_process_that_hangs_says_where_and_its_command_line_is_left_alone() {
    let tree = node();
    Process { state: 'D', ..PYTHON }.put(tree.path());
    let mut allowed = Node::at(tree.path());
    allowed.command_lines = true;
    let draft = read(&mut Processes::new(&allowed), "process", 1);
    let python = of(&draft, "process:4321@987654");
    assert_eq!((python.text("process.state"), python.text("process.wchan")), ("D".into(), "nvidia_ioctl".into()));
    assert_eq!(python.info().label.raw(), "python");
    assert_eq!(python.reading("process.job"), Some(Reading::Unsupported), "its environment was not read");

    write(tree.path(), "proc/4321/wchan", "0");
    assert_eq!(of(&told(&tree), "process:4321@987654").reading("process.wchan"), Some(Reading::Denied));
}

#[test]
fn pods_and_jobs_own_processes() {
    let tree = node();
    let pod = POD.replace('-', "_");
    let cgroup = format!("0::/kubepods.slice/kubepods-pod{pod}.slice/cri-containerd-{CONTAINER}.scope\n");
    Process { pid: 10, cgroup: &cgroup, ..PYTHON }.put(tree.path());
    Process { pid: 11, cgroup: "4:memory:/slurm/uid_1000/job_4711/step_0/task_1\n", ..PYTHON }.put(tree.path());
    Process { pid: 12, cgroup: "0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0\n", ..PYTHON }.put(tree.path());
    Process { pid: 13, ..PYTHON }.put(tree.path());
    write(tree.path(), "proc/12/environ", "A=b\0SLURM_JOB_ID=99\0");
    write(tree.path(), "proc/13/environ", "SLURM_JOB_ID=100\0");
    let draft = told(&tree);
    let text = |pid: u32, metric: &str| of(&draft, &format!("process:{pid}@987654")).text(metric);
    assert_eq!((text(10, "process.container"), text(10, "process.pod")), (CONTAINER.to_owned(), POD.to_owned()));
    let jobs: Vec<String> = (10..14).map(|pid| text(pid, "process.job")).collect();
    assert_eq!(jobs, ["", "4711", "99", "100"]);

    fs::remove_file(tree.path().join("proc/12/environ")).unwrap();
    assert_eq!(of(&told(&tree), "process:12@987654").text("process.job"), "sEKNKTV3WPV500");
}

#[test]
fn a_process_is_far_only_when_none_of_its_gpus_is_near() {
    let tree = node();
    let far = |cpus: &str, files: &[&str]| {
        Process { cpus, files, ..PYTHON }.put(tree.path());
        of(&told(&tree), "process:4321@987654").reading("process.numa_far").unwrap()
    };
    assert_eq!(far("0-3", &["/dev/nvidia0"]), Reading::from(false));
    assert_eq!(far("4-7", &["/dev/nvidia0"]), Reading::from(true));
    assert_eq!(far("3-4", &["/dev/nvidia0"]), Reading::from(false));
    assert_eq!(far("4-7", &["/dev/nvidia0", "/dev/nvidia1"]), Reading::from(false));
    assert_eq!(far("4-7", &["/dev/nvidiactl"]), Reading::Unsupported);
    assert_eq!(far("4-7", &["/dev/nvidia9"]), Reading::Unsupported);
    write(tree.path(), "sys/bus/pci/devices/0000:18:00.0/numa_node", "-1\n");
    assert_eq!(far("4-7", &["/dev/nvidia0"]), Reading::Unsupported);
}

#[test]
fn a_render_node_leads_to_its_card_inside_the_tree() {
    let tree = node();
    fs::create_dir_all(tree.path().join("sys/class/drm/renderD128")).unwrap();
    symlink("/sys/bus/pci/devices/0000:9a:00.0", tree.path().join("sys/class/drm/renderD128/device")).unwrap();
    Process { cpus: "0", files: &["/dev/dri/renderD128"], ..PYTHON }.put(tree.path());
    assert_eq!(of(&told(&tree), "process:4321@987654").reading("process.numa_far"), Some(Reading::from(true)));
}

#[test]
fn processes_end_let_go_and_hand_on_their_pids() {
    let tree = node();
    let mut probe = Processes::new(&Node::at(tree.path()));
    let entity = |start| Entity::Process(4321, start);
    PYTHON.put(tree.path());
    assert_eq!(read(&mut probe, "process", 1).entities.len(), 1);
    assert_eq!(read(&mut probe, "process", 3).entities, [], "told already");

    Process { start: 999_999, ..PYTHON }.put(tree.path());
    let draft = read(&mut probe, "process", 5);
    assert_eq!((draft.gone, draft.entities.len()), (vec![entity(987_654)], 1));

    // A zombie has no open files, and yet its other threads may hang in the driver.
    Process { start: 999_999, state: 'Z', files: &[], ..PYTHON }.put(tree.path());
    let draft = read(&mut probe, "process", 7);
    assert_eq!(of(&draft, "process:4321@999999").text("process.state"), "Z");

    Process { start: 999_999, files: &["/dev/null"], ..PYTHON }.put(tree.path());
    assert_eq!(read(&mut probe, "process", 9).gone, [entity(999_999)]);

    PYTHON.put(tree.path());
    assert_eq!(read(&mut probe, "process", 10).entities, [], "looked for every ten seconds");
    assert_eq!(read(&mut probe, "process", 11).entities.len(), 1);
    fs::remove_dir_all(tree.path().join("proc/4321")).unwrap();
    assert_eq!(read(&mut probe, "process", 13).gone, [entity(987_654)]);
}

#[test]
fn a_forged_name_stays_untrusted() {
    let tree = node();
    Process { comm: "\u{1b}[31m) R (x", ..PYTHON }.put(tree.path());
    let draft = told(&tree);
    let python = of(&draft, "process:4321@987654");
    assert_eq!(python.text("process.command"), "\u{1b}[31m) R (x");
    assert_eq!(python.info().label.display(60), "␛[31m) R (x");
}

#[test]
fn a_tree_without_processes_is_missing() {
    let tree = tempfile::tempdir().unwrap();
    assert_eq!(of(&told(&tree), "probe:process").text("probe.state"), "missing");
}

#[test]
fn this_machine_is_read() {
    let mut probe = Processes::new(&Node::at("/"));
    for second in [1, 3, 11] {
        let draft = read(&mut probe, "process", second);
        let state = of(&draft, "probe:process").text("probe.state");
        assert!(["ok", "degraded"].contains(&state.as_str()), "{state}: {:?}", draft.faults);
    }
}
