//! What packages say of themselves: texts of one line, dependencies, triggers, capabilities of files, CPE.

use super::Check;
use crate::manifest::{Capability, Cpe, Dependencies, Package, Position, Scriptlets, Text};

/// The longest text of one line: the readers of an index take lines of less than 1 MiB, with a letter and a colon in front.
const LINE_MAX: usize = (1 << 20) - 3;
/// The longest name of a file in Linux, in bytes.
const NAME_MAX: usize = 255;
/// What is longest behind the name and version of a package in the name of a file: that of its provenance.
const LONGEST_ENDING: &str = ".attest.tar.gz";

/// Capabilities that files may have.
const FILE_CAPABILITIES: [&str; 5] =
    ["cap_net_bind_service", "cap_net_admin", "cap_net_raw", "cap_ipc_lock", "cap_sys_admin"];

impl Check<'_> {
    /// Texts that become a line of a package's metadata: line breaks at their end are dropped, others would begin a line of
    /// their own.
    pub(super) fn lines<'t>(&mut self, texts: impl IntoIterator<Item = &'t Text>) {
        for text in texts {
            if text.trim_end_matches(['\n', '\r']).contains(['\n', '\r', '\0']) {
                let message = "this becomes one line of the package's metadata, and has a line break in it";
                let fault = self.source.diagnostic(text.position, message);
                self.faults.push(fault.hint("write it in one line, or fold the lines by `>-`"));
            } else if text.len() > LINE_MAX {
                let message =
                    format!("this is longer than {LINE_MAX} bytes, which no reader of an index takes");
                self.fault(text.position, message);
            }
        }
    }

    /// The name, version and epoch of a package are in the names of its files.
    pub(super) fn file_name(&mut self, package: &Package, name: &Text, at: Position) {
        let Package { version, epoch, .. } = package;
        let room = NAME_MAX - LONGEST_ENDING.len();
        if format!("{name}-{version}-r{epoch}").len() > room {
            let message = "the name and version are too long for the name of a package's file";
            let fault = self.source.diagnostic(at, message);
            self.faults.push(fault.hint(format!("NAME-VERSION-rEPOCH has {room} bytes at most")));
        }
    }

    /// Dependencies are words: a package's metadata and indexes separate them by blanks.
    pub(super) fn dependencies(&mut self, dependencies: &Dependencies) {
        let Dependencies { runtime, provides, replaces, provider_priority: _, replaces_priority: _ } =
            dependencies;
        for text in runtime.iter().chain(provides).chain(replaces) {
            let word = text.trim_end_matches(['\n', '\r']);
            // A reference that is left has a fault of its own.
            let is_word = !word.chars().any(|c| c.is_whitespace() || c.is_control()) || word.contains("${{");
            if !is_word {
                let fault = self.source.diagnostic(text.position, format!("invalid dependency `{word}`"));
                self.faults.push(fault.hint("a name, perhaps with a version: foo, foo>=1.2, so:libfoo.so.1"));
            }
        }
    }

    /// The paths of a trigger stand in one line, with blanks between them.
    pub(super) fn trigger(&mut self, scriptlets: Option<&Scriptlets>) {
        for path in scriptlets.iter().flat_map(|scriptlets| &scriptlets.trigger.paths) {
            if path.is_empty() || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
                let fault =
                    self.source.diagnostic(path.position, format!("invalid path of a trigger: `{path}`"));
                self.faults.push(fault.hint("an absolute path without blanks, perhaps with `*`"));
            }
        }
    }

    pub(super) fn capability(&mut self, capability: &Capability) {
        for names in capability.add.keys() {
            for name in names.split(',').filter(|name| !FILE_CAPABILITIES.contains(name)) {
                let message = format!("invalid capability `{name}` for `{}`", capability.path);
                let fault = self.source.diagnostic(names.position, message);
                self.faults.push(fault.hint(format!("known: {}", FILE_CAPABILITIES.join(", "))));
            }
        }
        for flags in capability.add.values() {
            let letters = flags.strip_prefix(['+', '=']).unwrap_or(flags);
            if letters.is_empty() || letters.chars().any(|letter| !"eip".contains(letter)) {
                let message =
                    format!("invalid flags `{flags}` for the capabilities of `{}`", capability.path);
                let fault = self.source.diagnostic(flags.position, message);
                self.faults
                    .push(fault.hint("letters of `eip`: effective, inheritable, permitted, such as +ep"));
            }
        }
        if capability.reason.is_empty() {
            self.fault(capability.at, format!("the capabilities of `{}` need a `reason`", capability.path));
        }
    }

    pub(super) fn cpe(&mut self, cpe: &Cpe, at: Position) {
        if !cpe.part.is_empty() && !matches!(cpe.part.as_str(), "a" | "o") {
            self.fault(cpe.part.position, format!("the part of a CPE is `a` or `o`, this is `{}`", cpe.part));
        }
        if cpe.vendor.is_empty() != cpe.product.is_empty() {
            let at = [&cpe.vendor, &cpe.product]
                .into_iter()
                .find(|text| !text.is_empty())
                .map_or(at, |t| t.position);
            self.fault(at, "a CPE has both a vendor and a product, or neither");
        }
        let Cpe { part: _, vendor, product, edition, language, sw_edition, target_sw, target_hw, other } =
            cpe;
        for field in [vendor, product, edition, language, sw_edition, target_sw, target_hw, other] {
            let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let rest = |c: char| first(c) || matches!(c, '+' | '_' | '.' | '-');
            let valid = field.is_empty() || field.starts_with(first) && field.chars().all(rest);
            if !valid {
                self.fault(field.position, format!("invalid CPE value `{field}`"));
            }
        }
    }
}
