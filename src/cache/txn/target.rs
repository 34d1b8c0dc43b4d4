//! The targets that a symbolic link of an archive may have: those within the cache. kiln follows no link of a cache, but the
//! tools and users of the host do.

use crate::ecosystem::CACHE;

/// Whether the target of a link at `path` lies in the cache, be it relative or below the path that steps see. `..` is allowed
/// only at the beginning: after a name, which may be another link, it could lead anywhere.
pub(in crate::cache) fn is_within(path: &[u8], target: &[u8]) -> bool {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        let parts = path.split(|&byte| byte == b'/');
        parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
    };
    let is_up = |part: &Vec<u8>| part == b"..";
    if target.starts_with(b"/") {
        let (target, cache) = (parts(target), parts(CACHE.as_bytes()));
        return target.starts_with(&cache) && !target.iter().any(is_up);
    }
    let target = parts(target);
    let up = target.iter().take_while(|part| is_up(part)).count();
    // The path of the link ends with its own name.
    up < parts(path).len() && !target[up..].iter().any(is_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_lead_within_the_cache_only() {
        for (path, target) in [
            ("l", "x"),
            ("l", "./x//y/"),
            ("l", "."),
            ("a/l", ".."),
            ("a/b/l", "../../x"),
            ("a/l", "/var/cache/melange/uv/archive-v0/x"),
            ("l", "//var/./cache/melange"),
            ("l", "..x"),
            ("l", "x/..y"),
        ] {
            assert!(is_within(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in [
            ("l", ".."),
            ("l", "../x"),
            ("a/l", "../../x"),
            ("a/l", "./.././../x"),
            ("a/b/c/l", "x/../../../../y"),
            ("a/b/c/l", "x/../y"),
            ("l", "/"),
            ("l", "/etc/shadow"),
            ("l", "//etc/shadow"),
            ("l", "/var/cache/melange-other"),
            ("l", "/var/cache/melange/../../../etc/shadow"),
            ("l", "/var/cache"),
            ("l", "/proc/self/root"),
        ] {
            assert!(!is_within(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }
}
