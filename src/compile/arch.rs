//! Architectures and their many names: apk's, Go's (OCI's), GNU's and Rust's.

use std::fmt;

/// An architecture that melange knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is its apk name")]
pub enum Arch {
    X86,
    X86_64,
    Aarch64,
    Armhf,
    Armv7,
    Loongarch64,
    Ppc64le,
    Riscv64,
    S390x,
}

/// Which C library the host triplets name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Libc {
    /// `gnu`.
    #[default]
    Gnu,
    /// `musl`.
    Musl,
}

impl Libc {
    fn word(self) -> &'static str {
        match self {
            Self::Gnu => "gnu",
            Self::Musl => "musl",
        }
    }
}

impl Arch {
    /// All of them, as melange's `--arch all` orders them.
    pub const ALL: [Self; 9] = [
        Self::X86,
        Self::X86_64,
        Self::Aarch64,
        Self::Armhf,
        Self::Armv7,
        Self::Loongarch64,
        Self::Ppc64le,
        Self::Riscv64,
        Self::S390x,
    ];

    /// From apk's or OCI's spelling.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.apk() == name || arch.go() == name).or(match name {
            "i386" | "i686" => Some(Self::X86),
            "loongarch64" => Some(Self::Loongarch64),
            _ => None,
        })
    }

    /// That of this machine.
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "powerpc64" => Some(Self::Ppc64le),
            "arm" => Some(Self::Armv7),
            name => Self::parse(name),
        }
    }

    /// apk's name, `${{build.arch}}`.
    pub fn apk(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Armhf => "armhf",
            Self::Armv7 => "armv7",
            Self::Loongarch64 => "loongarch64",
            Self::Ppc64le => "ppc64le",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
        }
    }

    /// Go's and OCI's name, `${{build.goarch}}`.
    pub fn go(self) -> &'static str {
        match self {
            Self::X86 => "386",
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
            Self::Armhf => "arm/v6",
            Self::Armv7 => "arm/v7",
            Self::Loongarch64 => "loong64",
            Self::Ppc64le => "ppc64le",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
        }
    }

    /// GNU's triplet, `${{host.triplet.gnu}}`, spelled as melange does.
    pub fn gnu_triplet(self, libc: Libc) -> String {
        let libc = libc.word();
        match self {
            Self::X86 => format!("i486-pc-linux-{libc}"),
            Self::X86_64 => format!("x86_64-pc-linux-{libc}"),
            Self::Aarch64 => format!("aarch64-unknown-linux-{libc}"),
            Self::Armhf => format!("arm-unknown-linux-{libc}eabihf"),
            Self::Armv7 => format!("armv7l-unknown-linux-{libc}eabihf"),
            Self::Loongarch64 => format!("loong64-unknown-linux-{libc}"),
            Self::Ppc64le => format!("powerpc64le-unknown-linux-{libc}"),
            Self::Riscv64 => format!("riscv64-unknown-linux-{libc}"),
            Self::S390x => format!("s390x-ibm-linux-{libc}"),
        }
    }

    /// Rust's target, `${{host.triplet.rust}}`, spelled as melange does.
    pub fn rust_triplet(self, libc: Libc) -> String {
        let libc = libc.word();
        match self {
            Self::X86 => format!("i686-unknown-linux-{libc}"),
            Self::Armhf => format!("armv6-unknown-linux-{libc}eabihf"),
            Self::Armv7 => format!("armv7-unknown-linux-{libc}eabihf"),
            Self::S390x => format!("s390x-unknown-linux-{libc}"),
            Self::X86_64 | Self::Aarch64 | Self::Loongarch64 | Self::Ppc64le | Self::Riscv64 => {
                let name = match self {
                    Self::Loongarch64 => "loong64",
                    Self::Ppc64le => "powerpc64le",
                    _ => self.apk(),
                };
                format!("{name}-unknown-linux-{libc}")
            }
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.apk())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_architecture() {
        for arch in Arch::ALL {
            assert_eq!(Arch::parse(arch.apk()), Some(arch));
            assert_eq!(Arch::parse(arch.go()), Some(arch));
        }
        assert_eq!(Arch::parse("vax"), None);
    }

    #[test]
    fn triplets_are_spelled_as_melange_spells_them() {
        for (arch, gnu, rust) in [
            (Arch::X86, "i486-pc-linux-gnu", "i686-unknown-linux-gnu"),
            (Arch::X86_64, "x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"),
            (Arch::Aarch64, "aarch64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"),
            (Arch::Armhf, "arm-unknown-linux-gnueabihf", "armv6-unknown-linux-gnueabihf"),
            (Arch::Armv7, "armv7l-unknown-linux-gnueabihf", "armv7-unknown-linux-gnueabihf"),
            (Arch::Loongarch64, "loong64-unknown-linux-gnu", "loong64-unknown-linux-gnu"),
            (Arch::Ppc64le, "powerpc64le-unknown-linux-gnu", "powerpc64le-unknown-linux-gnu"),
            (Arch::Riscv64, "riscv64-unknown-linux-gnu", "riscv64-unknown-linux-gnu"),
            (Arch::S390x, "s390x-ibm-linux-gnu", "s390x-unknown-linux-gnu"),
        ] {
            assert_eq!(arch.gnu_triplet(Libc::Gnu), gnu);
            assert_eq!(arch.rust_triplet(Libc::Gnu), rust);
            assert_eq!(arch.gnu_triplet(Libc::Musl), gnu.replace("gnu", "musl"));
        }
    }
}
