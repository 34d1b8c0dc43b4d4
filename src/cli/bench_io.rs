//! `kiln bench io`.

use clap::Args;

use super::values::Checked;
use crate::plan::{AcceleratorOption, Bytes, parse_bytes, parse_cpus};

/// What `kiln bench io` measures.
#[derive(Debug, Args)]
#[command(
    after_help = "With --quick a part of the scenarios is measured, and one round is kept. The kernel of the guests is that of builds \
(QEMU_KERNEL_IMAGE); an embedded device with several queues is compared where it is Linux 6.11 or newer."
)]
pub struct IoArgs {
    /// The shares to compare [default: all that this host can have]: host, disk, 9p-ro, 9p-rw, spawned-auto, spawned-always,
    /// embedded-auto, embedded-always; with several queues, embedded-auto-mq and embedded-always-mq.
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    pub shares: Vec<String>,
    /// The scenarios to measure, by parts of their names or groups [default: all].
    #[arg(long, value_name = "PART,…")]
    pub scenarios: Option<String>,
    /// Processors of each guest [default: the host's, at most 4].
    #[arg(long, value_name = "N", value_parser = Checked(parse_cpus))]
    pub cpu: Option<u32>,
    /// Memory of each guest [default: 4Gi, at most half of the host's].
    #[arg(long, value_name = "SIZE", value_parser = Checked(parse_bytes))]
    pub memory: Option<Bytes>,
    /// The accelerator of all microVMs.
    #[arg(long, value_enum, default_value = "auto", value_name = "ACCELERATOR")]
    pub accel: AcceleratorOption,
}
