//! The agent, as `build.rs` has built it, for the initramfs of a microVM, the container and the sandbox.

/// The static program `guest-init`, for the architecture of this kiln.
pub const AGENT: &[u8] = include_bytes!(env!("KILN_AGENT"));

#[cfg(test)]
mod tests {
    use super::AGENT;

    #[test]
    fn the_agent_is_a_small_static_program() {
        assert!(AGENT.starts_with(b"\x7fELF"));
        let target = env!("KILN_AGENT_TARGET");
        // It is in the initramfs of every microVM. Static glibc has its locales and its resolver.
        let limit = match target.rsplit_once('-').map(|(_, libc)| libc) {
            Some("musl") => 1024 * 1024,
            _ => 2 * 1024 * 1024,
        };
        assert!(AGENT.len() < limit, "{} bytes for {target}", AGENT.len());
        // A program with the path of a loader does not run in an initramfs.
        assert!(!AGENT.windows(10).any(|bytes| bytes == b"/lib64/ld-"), "it is linked dynamically");
    }
}
