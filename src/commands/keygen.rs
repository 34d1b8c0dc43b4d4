//! `kiln keygen`: a pair of keys.

use anyhow::Result;

use crate::{apk::generate_key, cli::KeygenArgs, exit::Code, report};

/// Makes the pair, and says where it is.
pub(super) fn run(args: &KeygenArgs) -> Result<Code> {
    let KeygenArgs { name, key_size } = args;
    let public = generate_key(name, *key_size)?;
    report::print(&format!(
        "private key (keep it secret): {}\npublic key: {}\n",
        name.display(),
        public.display()
    ))
}
