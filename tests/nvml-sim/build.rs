//! The library stays in its process once loaded, as NVIDIA's does: a call that hangs in one thread while another closes
//! the library must not lose the code under it, and the scenario's clock goes on over a reload.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
