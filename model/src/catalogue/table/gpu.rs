//! What NVML tells: GPUs, their driver, NVLinks, MIG instances.

use super::{COUNTER, GAUGE, INFO, STATE};
use crate::catalogue::{EntityKind, Metric, Unit};

// NVML: gauges and states of a GPU (nvml.h of CUDA 13; field ids in brackets).
catalogue! { NVML_GPU:
    GPU_UTIL "gpu.util" Gpu GAUGE Percent 1.0 "util" "gpu_utilization_percent"
        "Share of time in which at least one kernel ran; says nothing of how full the GPU was (nvmlDeviceGetUtilizationRates)";
    GPU_MEM_UTIL "gpu.mem_util" Gpu GAUGE Percent 1.0 "mem bw" "gpu_memory_utilization_percent"
        "Share of time in which device memory was read or written (nvmlDeviceGetUtilizationRates)";
    GPU_ENCODER_UTIL "gpu.encoder_util" Gpu GAUGE Percent 1.0 "enc" "gpu_encoder_utilization_percent"
        "Share of time in which the video encoder ran";
    GPU_DECODER_UTIL "gpu.decoder_util" Gpu GAUGE Percent 1.0 "dec" "gpu_decoder_utilization_percent"
        "Share of time in which the video decoder ran";
    GPU_MEM_USED "gpu.mem_used" Gpu GAUGE Bytes 1_048_576.0 "mem" "gpu_memory_used_bytes"
        "Device memory in use (nvmlDeviceGetMemoryInfo_v2)";
    GPU_MEM_TOTAL "gpu.mem_total" Gpu INFO Bytes 0.0 "mem total" "gpu_memory_total_bytes"
        "Device memory installed, less what the driver reserves";
    GPU_MEM_RESERVED "gpu.mem_reserved" Gpu GAUGE Bytes 1_048_576.0 "reserved" "gpu_memory_reserved_bytes"
        "Device memory that driver and firmware keep for themselves";
    GPU_BAR1_USED "gpu.bar1_used" Gpu GAUGE Bytes 1_048_576.0 "BAR1" "gpu_bar1_used_bytes"
        "Of the window through which other devices reach GPU memory, the part in use";
    GPU_POWER "gpu.power" Gpu GAUGE Watts 0.1 "power" "gpu_power_watts"
        "Power drawn by the GPU [186 instant, else nvmlDeviceGetPowerUsage]";
    GPU_POWER_LOWEST "gpu.power_lowest" Gpu GAUGE Watts 0.1 "power low" "gpu_power_lowest_watts"
        "Lowest power since the reading before, read ten times a second; only while recording";
    GPU_POWER_HIGHEST "gpu.power_highest" Gpu GAUGE Watts 0.1 "power high" "gpu_power_highest_watts"
        "Highest power since the reading before, read ten times a second; only while recording";
    GPU_POWER_LIMIT "gpu.power_limit" Gpu GAUGE Watts 0.1 "limit" "gpu_power_limit_watts"
        "Power limit in force (nvmlDeviceGetEnforcedPowerLimit)";
    GPU_POWER_DEFAULT_LIMIT "gpu.power_default_limit" Gpu INFO Watts 0.1 "default limit" "gpu_power_default_limit_watts"
        "Power limit that the board comes with";
    GPU_ENERGY "gpu.energy" Gpu COUNTER Millijoules 1_000.0 "energy" "gpu_energy_millijoules"
        "Energy used since the driver was loaded, millijoules counted (nvmlDeviceGetTotalEnergyConsumption)";
    GPU_TEMP "gpu.temp" Gpu GAUGE Celsius 1.0 "temp" "gpu_temperature_celsius"
        "Temperature of the GPU die (nvmlDeviceGetTemperature)";
    GPU_TEMP_MEMORY "gpu.temp_memory" Gpu GAUGE Celsius 1.0 "mem temp" "gpu_memory_temperature_celsius"
        "Temperature of the device memory [82]";
    GPU_TEMP_SLOWDOWN "gpu.temp_slowdown" Gpu INFO Celsius 1.0 "slowdown at" "gpu_temperature_slowdown_celsius"
        "Temperature at which the hardware slows its clocks (nvmlDeviceGetTemperatureThreshold)";
    GPU_TEMP_SHUTDOWN "gpu.temp_shutdown" Gpu INFO Celsius 1.0 "shutdown at" "gpu_temperature_shutdown_celsius"
        "Temperature at which the GPU switches itself off";
    GPU_TEMP_MAX_OPERATING "gpu.temp_max_operating" Gpu INFO Celsius 1.0 "max operating" "gpu_temperature_max_operating_celsius"
        "Temperature above which software slows the clocks";
    GPU_TEMP_MEMORY_MAX "gpu.temp_memory_max" Gpu INFO Celsius 1.0 "mem max" "gpu_memory_temperature_max_celsius"
        "Highest temperature allowed for device memory";
    GPU_CLOCK_SM "gpu.clock_sm" Gpu GAUGE Megahertz 1.0 "SM clock" "gpu_sm_clock_megahertz"
        "Clock of the streaming multiprocessors (nvmlDeviceGetClockInfo)";
    GPU_CLOCK_SM_LOWEST "gpu.clock_sm_lowest" Gpu GAUGE Megahertz 1.0 "SM low" "gpu_sm_clock_lowest_megahertz"
        "Lowest SM clock since the reading before, read ten times a second; only while recording";
    GPU_CLOCK_SM_HIGHEST "gpu.clock_sm_highest" Gpu GAUGE Megahertz 1.0 "SM high" "gpu_sm_clock_highest_megahertz"
        "Highest SM clock since the reading before, read ten times a second; only while recording";
    GPU_CLOCK_MEM "gpu.clock_mem" Gpu GAUGE Megahertz 1.0 "mem clock" "gpu_memory_clock_megahertz"
        "Clock of the device memory";
    GPU_CLOCK_SM_MAX "gpu.clock_sm_max" Gpu INFO Megahertz 1.0 "SM clock max" "gpu_sm_clock_max_megahertz"
        "Highest clock of the streaming multiprocessors";
    GPU_CLOCK_MEM_MAX "gpu.clock_mem_max" Gpu INFO Megahertz 1.0 "mem clock max" "gpu_memory_clock_max_megahertz"
        "Highest clock of the device memory";
    GPU_FAN "gpu.fan" Gpu GAUGE Percent 1.0 "fan" "gpu_fan_percent"
        "Fan speed in per cent of its highest; boards in servers have none";
    GPU_PSTATE "gpu.pstate" Gpu STATE None 0.0 "pstate" "gpu_performance_state"
        "Performance state, 0 (highest) to 15";
    GPU_THROTTLE "gpu.throttle" Gpu STATE None 0.0 "throttle" "gpu_throttle_reasons"
        "Bits of why clocks are held down now: 4 SW power cap, 8 HW slowdown, 0x20 SW thermal, 0x40 HW thermal, 0x80 power brake (nvml.h clocks event reasons)";
    GPU_THROTTLE_SEEN "gpu.throttle_seen" Gpu STATE None 0.0 "throttle seen" "gpu_throttle_reasons_seen"
        "Bits of `gpu.throttle` that were set since the reading before, read ten times a second; only while recording";
    GPU_THROTTLE_POWER_TIME "gpu.throttle_power_time" Gpu COUNTER Nanoseconds 1_000_000.0 "power cap time" "gpu_throttle_power_nanoseconds"
        "Time for which the power cap held clocks down since the driver was loaded [74]";
    GPU_THROTTLE_THERMAL_TIME "gpu.throttle_thermal_time" Gpu COUNTER Nanoseconds 1_000_000.0 "thermal time" "gpu_throttle_thermal_nanoseconds"
        "Time for which heat held clocks down since the driver was loaded (violation status, thermal)";
    GPU_THROTTLE_HW_THERMAL_TIME "gpu.throttle_hw_thermal_time" Gpu COUNTER Nanoseconds 1_000_000.0 "HW thermal time" "gpu_throttle_hw_thermal_nanoseconds"
        "Time of hardware thermal slowdown [252 or 270 by driver]";
    GPU_THROTTLE_BRAKE_TIME "gpu.throttle_brake_time" Gpu COUNTER Nanoseconds 1_000_000.0 "power brake time" "gpu_throttle_power_brake_nanoseconds"
        "Time for which an external power brake held clocks down [253 or 271 by driver]";
    GPU_ECC_MODE "gpu.ecc_mode" Gpu STATE None 0.0 "ECC" "gpu_ecc_enabled"
        "Whether error correction of device memory is on";
    GPU_ECC_CORRECTED "gpu.ecc_corrected" Gpu COUNTER None 0.0 "ECC corr" "gpu_ecc_corrected_errors"
        "Memory errors corrected since the driver was loaded";
    GPU_ECC_UNCORRECTED "gpu.ecc_uncorrected" Gpu COUNTER None 0.0 "ECC uncorr" "gpu_ecc_uncorrected_errors"
        "Memory errors that could not be corrected, since the driver was loaded";
    GPU_ECC_CORRECTED_LIFE "gpu.ecc_corrected_life" Gpu COUNTER None 0.0 "ECC corr life" "gpu_ecc_corrected_lifetime_errors"
        "Memory errors corrected over the life of the GPU";
    GPU_ECC_UNCORRECTED_LIFE "gpu.ecc_uncorrected_life" Gpu COUNTER None 0.0 "ECC uncorr life" "gpu_ecc_uncorrected_lifetime_errors"
        "Memory errors that could not be corrected over the life of the GPU";
    GPU_RETIRED_PAGES "gpu.retired_pages" Gpu COUNTER None 0.0 "retired" "gpu_retired_pages"
        "Memory pages retired (before Ampere)";
    GPU_RETIRED_PENDING "gpu.retired_pending" Gpu STATE None 0.0 "retire pending" "gpu_retired_pages_pending"
        "Whether pages wait for a reboot to be retired";
    GPU_REMAP_CORRECTED "gpu.remap_corrected" Gpu COUNTER None 0.0 "remap corr" "gpu_remapped_rows_corrected"
        "Memory rows remapped because of corrected errors [142]";
    GPU_REMAP_UNCORRECTED "gpu.remap_uncorrected" Gpu COUNTER None 0.0 "remap uncorr" "gpu_remapped_rows_uncorrected"
        "Memory rows remapped because of uncorrectable errors [143]";
    GPU_REMAP_PENDING "gpu.remap_pending" Gpu STATE None 0.0 "remap pending" "gpu_remap_pending"
        "Whether a row remap waits for a GPU reset [144]";
    GPU_REMAP_FAILED "gpu.remap_failed" Gpu STATE None 0.0 "remap failed" "gpu_remap_failed"
        "Whether a row could not be remapped: the part needs replacing [145]";
    GPU_REMAP_BANKS_FULL "gpu.remap_banks_full" Gpu GAUGE None 0.0 "banks w/o spares" "gpu_remap_banks_without_spares"
        "Memory banks that have no spare rows left (row remapper histogram)";
    GPU_PCIE_GEN "gpu.pcie_gen" Gpu GAUGE None 0.0 "PCIe gen" "gpu_pcie_generation"
        "PCIe generation now; drops when idle";
    GPU_PCIE_GEN_MAX "gpu.pcie_gen_max" Gpu INFO None 0.0 "PCIe gen max" "gpu_pcie_generation_max"
        "Highest PCIe generation of GPU and slot together";
    GPU_PCIE_WIDTH "gpu.pcie_width" Gpu GAUGE Lanes 0.0 "PCIe width" "gpu_pcie_width_lanes"
        "PCIe lanes in use now";
    GPU_PCIE_WIDTH_MAX "gpu.pcie_width_max" Gpu INFO Lanes 0.0 "PCIe width max" "gpu_pcie_width_max_lanes"
        "Most PCIe lanes of GPU and slot together";
    GPU_PCIE_REPLAY "gpu.pcie_replay" Gpu COUNTER None 0.0 "PCIe replays" "gpu_pcie_replays"
        "PCIe packets sent again (nvmlDeviceGetPcieReplayCounter)";
    GPU_PCIE_TX "gpu.pcie_tx" Gpu COUNTER Bytes 65_536.0 "PCIe tx" "gpu_pcie_transmit_bytes"
        "Bytes sent over PCIe [197]; may wrap";
    GPU_PCIE_RX "gpu.pcie_rx" Gpu COUNTER Bytes 65_536.0 "PCIe rx" "gpu_pcie_receive_bytes"
        "Bytes received over PCIe [198]; may wrap";
    GPU_NVLINK_TX "gpu.nvlink_tx" Gpu COUNTER Bytes 1_048_576.0 "NVLink tx" "gpu_nvlink_transmit_bytes"
        "Data bytes sent over all NVLinks [138, all links]";
    GPU_NVLINK_RX "gpu.nvlink_rx" Gpu COUNTER Bytes 1_048_576.0 "NVLink rx" "gpu_nvlink_receive_bytes"
        "Data bytes received over all NVLinks [139, all links]";
    GPU_RECOVERY_ACTION "gpu.recovery_action" Gpu STATE None 0.0 "recovery" "gpu_recovery_action"
        "The driver's own verdict of what this GPU needs: 0 none, 1 reset, 2 node reboot, 3 drain P2P, 4 drain and reset, 5 recover IMEX domain [230]";
    GPU_MIG_MODE "gpu.mig_mode" Gpu STATE None 0.0 "MIG" "gpu_mig_enabled"
        "Whether MIG is on";
    GPU_MIG_PENDING "gpu.mig_pending" Gpu STATE None 0.0 "MIG pending" "gpu_mig_pending"
        "MIG mode after the next reset";
    GPU_MIG_DEVICES "gpu.mig_devices" Gpu GAUGE None 0.0 "MIG devices" "gpu_mig_devices"
        "MIG instances that exist";
    GPU_COMPUTE_MODE "gpu.compute_mode" Gpu STATE None 0.0 "compute mode" "gpu_compute_mode"
        "Who may use it: default, exclusive_process, prohibited";
    GPU_PERSISTENCE "gpu.persistence" Gpu STATE None 0.0 "persistence" "gpu_persistence_enabled"
        "Whether the driver keeps the GPU initialised when nobody uses it";
    GPU_PROCESSES "gpu.processes" Gpu GAUGE None 0.0 "procs" "gpu_processes"
        "Processes that hold a context on the GPU";
    GPU_STATE "gpu.state" Gpu STATE None 0.0 "state" "gpu_state"
        "ok, lost (fallen off the bus), stuck (a driver call does not return), gone (driver unloaded)";
}

// NVML: what a GPU and its driver are.
catalogue! { NVML_FACTS:
    GPU_NAME "gpu.name" Gpu INFO None 0.0 "model" "gpu_name"
        "Product name";
    GPU_SERIAL "gpu.serial" Gpu INFO None 0.0 "serial" "gpu_serial"
        "Board serial number";
    GPU_VBIOS "gpu.vbios" Gpu INFO None 0.0 "VBIOS" "gpu_vbios"
        "VBIOS version";
    GPU_INDEX "gpu.index" Gpu INFO None 0.0 "#" "gpu_index"
        "The driver's number for it now; changes when GPUs come and go";
    GPU_MINOR "gpu.minor" Gpu INFO None 0.0 "minor" "gpu_minor"
        "Number N of /dev/nvidiaN";
    GPU_ARCHITECTURE "gpu.architecture" Gpu INFO None 0.0 "arch" "gpu_architecture"
        "Architecture: Ampere, Hopper, Blackwell, …";
    GPU_GSP_FIRMWARE "gpu.gsp_firmware" Gpu INFO None 0.0 "GSP" "gpu_gsp_firmware"
        "Version of the GPU system processor's firmware; absent when it is off";
    DRIVER_VERSION "driver.version" Node INFO None 0.0 "driver" "driver_version"
        "Version of the GPU driver";
    DRIVER_CUDA_VERSION "driver.cuda_version" Node INFO None 0.0 "CUDA" "driver_cuda_version"
        "Highest CUDA version that the driver serves";
    DRIVER_STATE "driver.state" Node STATE None 0.0 "driver state" "driver_state"
        "ok, not_loaded, no_library, mismatch, denied, failed";
}

// NVLink, per link (nvml.h; error counters of NVLink 1 to 4).
catalogue! { NVLINK:
    NVLINK_STATE "nvlink.state" NvLink STATE None 0.0 "link" "nvlink_state"
        "active, inactive or sleep [165]";
    NVLINK_VERSION "nvlink.version" NvLink INFO None 0.0 "version" "nvlink_version"
        "NVLink version";
    NVLINK_REPLAY "nvlink.replay" NvLink COUNTER None 0.0 "replay" "nvlink_replay_errors"
        "Packets sent again by the data link layer";
    NVLINK_RECOVERY "nvlink.recovery" NvLink COUNTER None 0.0 "recovery" "nvlink_recovery_errors"
        "Times that the link recovered";
    NVLINK_CRC_FLIT "nvlink.crc_flit" NvLink COUNTER None 0.0 "CRC flit" "nvlink_crc_flit_errors"
        "Flits with a bad checksum";
    NVLINK_CRC_DATA "nvlink.crc_data" NvLink COUNTER None 0.0 "CRC data" "nvlink_crc_data_errors"
        "Data with a bad checksum";
    NVLINK_TX "nvlink.tx" NvLink COUNTER Bytes 1_048_576.0 "tx" "nvlink_transmit_bytes"
        "Data bytes sent over this link [138, link]";
    NVLINK_RX "nvlink.rx" NvLink COUNTER Bytes 1_048_576.0 "rx" "nvlink_receive_bytes"
        "Data bytes received over this link [139, link]";
}

// MIG instances.
catalogue! { MIG:
    MIG_MEM_USED "mig.mem_used" Mig GAUGE Bytes 1_048_576.0 "mem" "mig_memory_used_bytes"
        "Memory of the instance in use";
    MIG_MEM_TOTAL "mig.mem_total" Mig INFO Bytes 0.0 "mem total" "mig_memory_total_bytes"
        "Memory of the instance";
    MIG_PROFILE "mig.profile" Mig INFO None 0.0 "profile" "mig_profile"
        "Name of the instance, which tells its profile";
}
