//! What is known about each card model: the facts a driver would report.
//!
//! Figures are those of NVIDIA's data sheets and of `nvidia-smi -q` on such cards; firmware versions are of the right
//! shape, not of a particular board.

/// The unchanging facts of one card model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Card {
    /// The name that a scenario uses.
    pub model: &'static str,
    /// The name that the driver reports.
    pub name: &'static str,
    /// `NVML_DEVICE_ARCH_*`.
    pub architecture: u32,
    /// CUDA compute capability.
    pub compute_capability: (i32, i32),
    /// Frame buffer, MiB.
    pub memory_mib: u64,
    /// Of that, kept by the driver, MiB.
    pub reserved_mib: u64,
    /// BAR1 aperture, MiB.
    pub bar1_mib: u64,
    /// Memory bus width, bits.
    pub bus_width: u32,
    /// CUDA cores.
    pub cores: u32,
    /// Power: idle, lowest limit, highest and default limit, W.
    pub power_w: (u32, u32, u32),
    /// Clocks when idle and at most: SM, MHz.
    pub sm_mhz: (u32, u32),
    /// Memory clock when idle and at work, MHz.
    pub memory_mhz: (u32, u32),
    /// Highest video clock, MHz.
    pub video_mhz: u32,
    /// Temperatures: highest for the GPU at work, slowdown, shutdown, highest for the memory, °C.
    pub temperatures: (i32, i32, i32, i32),
    /// Rise over the inlet air at full power, °C.
    pub rise: f64,
    /// NVLink: number of links, `NVML_NVLINK_VERSION_*`, speed of one link and direction in Mbps as NVML counts (MB/s).
    pub nvlink: (u32, u32, u32),
    /// PCIe generation and width.
    pub pcie: (u32, u32),
    /// PCI device and vendor, subsystem and its vendor.
    pub pci_ids: (u32, u32),
    /// Whether the card can be split by MIG.
    pub mig: bool,
    /// Whether the fabric manager registers it (NVSwitch of Hopper and newer).
    pub fabric: bool,
    /// Performance state when idle.
    pub idle_pstate: u32,
    /// VBIOS, InfoROM image, board part number.
    pub firmware: (&'static str, &'static str, &'static str),
}

/// Every model a scenario can name.
pub(crate) static CARDS: &[Card] = &[
    Card {
        model: "H100 SXM5 80GB",
        name: "NVIDIA H100 80GB HBM3",
        architecture: 9,
        compute_capability: (9, 0),
        memory_mib: 81_559,
        reserved_mib: 551,
        bar1_mib: 131_072,
        bus_width: 5_120,
        cores: 16_896,
        power_w: (71, 200, 700),
        sm_mhz: (345, 1_980),
        memory_mhz: (2_619, 2_619),
        video_mhz: 1_545,
        temperatures: (87, 89, 95, 95),
        rise: 36.0,
        nvlink: (18, 6, 26_562),
        pcie: (5, 16),
        pci_ids: (0x2330_10de, 0x16c1_10de),
        mig: true,
        fabric: true,
        idle_pstate: 0,
        firmware: ("96.00.74.00.01", "G520.0200.00.05", "692-2G520-0200-000"),
    },
    Card {
        model: "H200",
        name: "NVIDIA H200",
        architecture: 9,
        compute_capability: (9, 0),
        memory_mib: 143_771,
        reserved_mib: 615,
        bar1_mib: 262_144,
        bus_width: 6_144,
        cores: 16_896,
        power_w: (76, 200, 700),
        sm_mhz: (345, 1_980),
        memory_mhz: (3_201, 3_201),
        video_mhz: 1_545,
        temperatures: (87, 89, 95, 95),
        rise: 37.0,
        nvlink: (18, 6, 26_562),
        pcie: (5, 16),
        pci_ids: (0x2335_10de, 0x18be_10de),
        mig: true,
        fabric: true,
        idle_pstate: 0,
        firmware: ("96.00.99.00.01", "G520.0280.00.01", "692-2G520-0280-000"),
    },
    Card {
        model: "A100 SXM4 80GB",
        name: "NVIDIA A100-SXM4-80GB",
        architecture: 7,
        compute_capability: (8, 0),
        memory_mib: 81_920,
        reserved_mib: 669,
        bar1_mib: 131_072,
        bus_width: 5_120,
        cores: 6_912,
        power_w: (58, 100, 400),
        sm_mhz: (210, 1_410),
        memory_mhz: (1_593, 1_593),
        video_mhz: 1_290,
        temperatures: (85, 89, 92, 95),
        rise: 32.0,
        nvlink: (12, 4, 25_000),
        pcie: (4, 16),
        pci_ids: (0x20b2_10de, 0x147f_10de),
        mig: true,
        fabric: false,
        idle_pstate: 0,
        firmware: ("92.00.45.00.06", "G506.0210.00.04", "692-2G506-0210-002"),
    },
    Card {
        model: "L40S",
        name: "NVIDIA L40S",
        architecture: 8,
        compute_capability: (8, 9),
        memory_mib: 46_068,
        reserved_mib: 596,
        bar1_mib: 65_536,
        bus_width: 384,
        cores: 18_176,
        power_w: (34, 100, 350),
        sm_mhz: (210, 2_520),
        memory_mhz: (405, 9_001),
        video_mhz: 1_965,
        temperatures: (88, 91, 96, 105),
        rise: 42.0,
        nvlink: (0, 0, 0),
        pcie: (4, 16),
        pci_ids: (0x26b9_10de, 0x1851_10de),
        mig: false,
        fabric: false,
        idle_pstate: 8,
        firmware: ("95.02.66.00.02", "G133.0242.00.03", "900-2G133-0080-000"),
    },
    Card {
        model: "B200",
        name: "NVIDIA B200",
        architecture: 10,
        compute_capability: (10, 0),
        memory_mib: 183_359,
        reserved_mib: 720,
        bar1_mib: 262_144,
        bus_width: 8_192,
        cores: 18_944,
        power_w: (140, 200, 1_000),
        sm_mhz: (120, 1_965),
        memory_mhz: (3_996, 3_996),
        video_mhz: 1_695,
        temperatures: (85, 87, 92, 95),
        rise: 38.0,
        nvlink: (18, 7, 53_125),
        pcie: (5, 16),
        pci_ids: (0x2901_10de, 0x1999_10de),
        mig: true,
        fabric: true,
        idle_pstate: 0,
        firmware: ("97.00.88.00.0F", "G525.0225.00.05", "692-2G525-0225-000"),
    },
];

/// The most links that any model has.
pub(crate) const MOST_LINKS: usize = 18;

impl Card {
    /// The card that a scenario calls `name`: its model or its reported name, or the first word of the model (`H100`).
    pub fn named(name: &str) -> Option<&'static Card> {
        CARDS.iter().find(|card| {
            card.model.eq_ignore_ascii_case(name)
                || card.name.eq_ignore_ascii_case(name)
                || card.model.split(' ').next().is_some_and(|short| short.eq_ignore_ascii_case(name))
        })
    }
}
