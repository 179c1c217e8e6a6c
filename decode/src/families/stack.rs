//! Stack frames that tell where a task waits: in FUSE for its daemon, or in a network driver. Format: `%pS`,
//! Linux `Documentation/core-api/printk-formats.rst`: `function+0x12b/0x210 [module]`.

use super::{Context, Decoded};
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    // `? ` marks an unreliable frame; a register dump names the segment first.
    let _mark = scan.maybe("? ") || scan.maybe("RIP: 0010:");
    let function = scan.some(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))?;
    scan.take("+0x")?;
    scan.some(|c| c.is_ascii_hexdigit())?;
    scan.take("/0x")?;
    scan.some(|c| c.is_ascii_hexdigit())?;
    scan.spaces();
    let module = scan.take("[").and_then(|()| scan.until("]")).map(|inside| inside.split(' ').next().unwrap_or(inside));
    let fuse = module == Some("fuse") || (module.is_none() && waits_in_fuse(function));
    if fuse {
        return Some(Decoded::new("fuse_stack").with("function", function));
    }
    let network = module.is_some_and(|module| ["mlx5_", "mlx4_", "ib_", "rdma_"].iter().any(|p| module.starts_with(p)));
    network.then(|| Decoded::new("nic_other").with("function", function))
}

/// FUSE built into the kernel prints no module.
fn waits_in_fuse(function: &str) -> bool {
    function.starts_with("fuse_") || function.starts_with("__fuse_") || function == "request_wait_answer"
}
