//! Whose a process is: the container, pod and job that its control group or environment names.
//!
//! Facts: cgroups(7); the names that Docker, containerd, CRI-O, Podman, nerdctl, LXC and the kubelet give their groups
//! (both of the kubelet's drivers, cgroup v1 and v2); Slurm's `cgroup.conf(5)`, including 26.05, where a job's
//! directory is its SLUID instead of its number.

/// What a process belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The container's id, or its name where the runtime groups by name.
    pub container: Option<String>,
    /// The UID of the Kubernetes pod.
    pub pod: Option<String>,
    /// The Slurm job's number.
    pub job: Option<String>,
    /// The Slurm job's SLUID, where the group tells that instead.
    pub sluid: Option<String>,
}

/// Before the id in the name of a container's scope.
const SCOPES: &[&str] = &["cri-containerd-", "crio-", "docker-", "libpod-", "nerdctl-", "containerd-"];
/// Before the name of a container that is grouped by name.
const NAMED: &[&str] = &["lxc.payload."];
/// The most lines taken; cgroup v1 has one per controller.
const MOST_LINES: usize = 64;
/// The longest name taken.
const MOST_NAME: usize = 128;

/// `/proc/PID/cgroup`: lines `id:controllers:/path`. The innermost match of a path counts, and the last line that has
/// one (that of cgroup v2).
pub fn by_cgroup(text: &str) -> Owner {
    let mut owner = Owner::default();
    for line in text.lines().take(MOST_LINES) {
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        let mut below_slurm = false;
        let mut before = "";
        // containerd with the systemd driver of old separates by colons within one name.
        for name in path.split(['/', ':']).filter(|name| name.len() <= MOST_NAME) {
            owner.container = container(name, before).or(owner.container);
            owner.pod = pod(name).or(owner.pod);
            below_slurm |= name == "slurm" || name.starts_with("slurm_") || name.contains("slurmstepd.scope");
            if below_slurm {
                owner.job = job(name).or(owner.job);
                owner.sluid = sluid(name).filter(|_| before.contains("slurmstepd.scope")).or(owner.sluid);
            }
            before = name;
        }
    }
    owner
}

fn container(name: &str, before: &str) -> Option<String> {
    let scope = name.strip_suffix(".scope").unwrap_or(name);
    let by_scope = SCOPES.iter().find_map(|prefix| scope.strip_prefix(prefix)).filter(|id| is_id(id, 12));
    let by_name = || NAMED.iter().find_map(|prefix| scope.strip_prefix(prefix)).filter(|name| !name.is_empty());
    let by_parent = || Some(name).filter(|name| before == "lxc" && !name.is_empty());
    let bare = || Some(name).filter(|id| is_id(id, 64));
    by_scope.or_else(by_name).or_else(by_parent).or_else(bare).map(str::to_owned)
}

fn is_id(text: &str, least: usize) -> bool {
    (least..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `pod<uid>` (cgroupfs driver) and `kubepods-burstable-pod<uid with underscores>.slice` (systemd driver). A static
/// pod's UID is a hash without dashes.
fn pod(name: &str) -> Option<String> {
    let slice = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match slice.strip_prefix("pod") {
        Some(uid) => uid,
        None => slice.strip_prefix("kubepods")?.rsplit_once("-pod")?.1,
    };
    let uid = uid.replace('_', "-");
    let is_uuid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (is_uuid || is_id(&uid, 32) && uid.len() == 32).then_some(uid)
}

fn job(name: &str) -> Option<String> {
    let number = name.strip_prefix("job_")?;
    let is_number = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

fn sluid(name: &str) -> Option<String> {
    let rest = name.strip_prefix('s')?;
    let is_sluid = rest.len() == 13 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    is_sluid.then(|| name.to_owned())
}

/// `/proc/PID/environ`: the Slurm job that the environment names. Nothing else of it is kept: it holds secrets.
pub fn job_of_environment(environ: &[u8]) -> Option<String> {
    let value = environ.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"SLURM_JOB_ID="))?;
    let is_number = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "4c0f1b6a2e3d4c5b6a7988776655443322110ffeeddccbbaa99887766554433f";
    const POD: &str = "0c2d1e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5";

    fn owner(container: Option<&str>, pod: Option<&str>, job: Option<&str>) -> Owner {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Owner { container: own(container), pod: own(pod), job: own(job), sluid: None }
    }

    #[test]
    fn containers_and_pods_of_every_runtime() {
        let pod_ = POD.replace('-', "_");
        for (path, expected) in [
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                owner(Some(ID), Some(POD), None),
            ),
            (format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope"), owner(Some(ID), Some(POD), None)),
            (
                format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope/container"),
                owner(Some(ID), Some(POD), None),
            ),
            (format!("/kubepods/besteffort/pod{POD}/{ID}"), owner(Some(ID), Some(POD), None)),
            (format!("/kubepods/pod{POD}/{ID}"), owner(Some(ID), Some(POD), None)),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-pod{pod_}.slice:cri-containerd:{ID}"),
                owner(Some(ID), Some(POD), None),
            ),
            (
                format!("/../../kubepods-besteffort-pod{pod_}.slice/cri-containerd-{ID}.scope"),
                owner(Some(ID), Some(POD), None),
            ),
            (
                format!("/kubepods/burstable/pod7f1d8e4f0a9b4c3d8e7f6a5b4c3d2e1f/{ID}"),
                owner(Some(ID), Some("7f1d8e4f0a9b4c3d8e7f6a5b4c3d2e1f"), None),
            ),
            (format!("/system.slice/docker-{ID}.scope"), owner(Some(ID), None, None)),
            (format!("/docker/{ID}"), owner(Some(ID), None, None)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), owner(Some(ID), None, None)),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                owner(Some(ID), None, None),
            ),
            (format!("/system.slice/nerdctl-{ID}.scope"), owner(Some(ID), None, None)),
            ("/lxc.payload.web1/system.slice".to_owned(), owner(Some("web1"), None, None)),
            ("/lxc/web1".to_owned(), owner(Some("web1"), None, None)),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), owner(None, None, None)),
            (format!("/kubepods.slice/crio-conmon-{ID}.scope"), owner(None, None, None)),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), owner(None, None, None)),
            ("/podman/podcast".to_owned(), owner(None, None, None)),
            ("/job_7".to_owned(), owner(None, None, None)),
        ] {
            assert_eq!(by_cgroup(&format!("0::{path}\n")), expected, "{path}");
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        let inner = ID.replace('4', "5");
        let nested = format!("0::/kubepods/pod{POD}/{ID}/docker/{inner}\n");
        assert_eq!(by_cgroup(&nested), owner(Some(&inner), Some(POD), None));
    }

    #[test]
    fn jobs_of_both_cgroup_layouts_and_of_slurm_26() {
        let v1 = "9:memory:/slurm/uid_1000/job_4711/step_0/task_1\n1:name=systemd:/system.slice/slurmd.service\n0::/\n";
        assert_eq!(by_cgroup(v1), owner(None, None, Some("4711")));
        let v2 = "0::/system.slice/slurmstepd.scope/job_4711/step_batch/user/task_0\n";
        assert_eq!(by_cgroup(v2), owner(None, None, Some("4711")));
        let named = "0::/system.slice/node7_slurmstepd.scope/job_12/step_0/user\n";
        assert_eq!(by_cgroup(named), owner(None, None, Some("12")));
        let sluid = by_cgroup("0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0/user\n");
        assert_eq!((sluid.job.as_deref(), sluid.sluid.as_deref()), (None, Some("sEKNKTV3WPV500")));
    }

    #[test]
    fn of_the_environment_only_the_job_is_told() {
        let environ = b"HOME=/root\0AWS_SECRET_ACCESS_KEY=x\0SLURM_JOB_ID=4711\0";
        assert_eq!(job_of_environment(environ).as_deref(), Some("4711"));
        assert_eq!(job_of_environment(b"SLURM_JOB_ID=../../etc\0"), None);
        assert_eq!(job_of_environment(b"XSLURM_JOB_ID=1\0"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_file_holds_panics(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (by_cgroup(&text), by_cgroup(&format!("0::/{text}")), job_of_environment(&bytes));
        }
    }
}
