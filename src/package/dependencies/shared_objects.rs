//! Shared libraries: those that programs need, and those that a package has.

use super::{analysis::Package, note::Note};
use crate::package::facts::{Elf, FileFacts, base_name};

/// The dynamic loader of glibc, whose version is of no interest: each program needs it.
const LOADERS: [&str; 2] = ["ld-linux-x86-64.so", "ld-linux-aarch64.so"];
/// What a program of Go with OpenSSL's cryptography loads when it runs.
const OPENSSL_OF_GO: [&str; 2] = ["openssl-config-fipshardened", "so:libcrypto.so.3"];

/// The libraries of NVIDIA's driver, which belongs to the kernel of the host: the host puts them into containers.
const OF_HOST: [&str; 27] = [
    "libEGL_nvidia.so.1",
    "libGLESv1_CM_nvidia.so.1",
    "libGLESv2_nvidia.so.1",
    "libGLX_nvidia.so.1",
    "libcuda.so.1",
    "libcudadebugger.so.1",
    "libnvcuvid.so.1",
    "libnvidia-allocator.so.1",
    "libnvidia-cfg.so.1",
    "libnvidia-eglcore.so.1",
    "libnvidia-encode.so.1",
    "libnvidia-fbc.so.1",
    "libnvidia-glcore.so.1",
    "libnvidia-glsi.so.1",
    "libnvidia-glvkspirv.so.1",
    "libnvidia-gpucomp.so.1",
    "libnvidia-ml.so.1",
    "libnvidia-ngx.so.1",
    "libnvidia-nvvm.so.1",
    "libnvidia-opencl.so.1",
    "libnvidia-opticalflow.so.1",
    "libnvidia-pkcs11-openssl3.so.1",
    "libnvidia-pkcs11.so.1",
    "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-rtcore.so.1",
    "libnvidia-tls.so.1",
    "libnvoptix.so.1",
];

pub(super) fn generate(package: &mut Package<'_>) {
    let (walk, analysis) = (package.walk, package.analysis);
    for file in walk.iter() {
        if let Some(library) = analysis.libraries.of_link(file) {
            of_link(package, file, library);
        }
        // A link in a directory of libraries makes a library of another directory known.
        let Some(target) = walk.resolve(file) else { continue };
        match target.special.as_ref().and_then(|special| special.elf.as_ref()) {
            Some(Ok(elf)) if target.is_regular() => of_file(package, &file.path, elf),
            Some(Err(why)) if file.is_regular() => {
                package.notes.add(|| Note::unreadable(&file.path, "ELF", why));
            }
            _ => {}
        }
    }
}

/// A link `*.so*` needs the library that it leads to, even if that is in another package: so `-dev` needs the library.
fn of_link(package: &mut Package<'_>, link: &FileFacts, library: &FileFacts) {
    let Some(elf) = library.elf().filter(|elf| !elf.dynamic_is_broken) else { return };
    for soname in &elf.sonames {
        if let Some(soname) = library_name(package, &link.path, soname) {
            depend_on(package, soname);
        }
    }
}

/// What an ELF file at a path needs and provides.
fn of_file(package: &mut Package<'_>, path: &[u8], elf: &Elf) {
    if let Some(loader) = &elf.interpreter
        && let Some(loader) = library_name(package, path, base_name(loader))
    {
        // musl's loader is a link to its library, and only the library is provided.
        let name = match loader.strip_prefix("ld-musl") {
            Some(rest) => format!("libc.musl{rest}"),
            None => loader.to_owned(),
        };
        package.depend("so", &name);
    }
    if elf.dynamic_is_broken {
        package.notes.add(|| Note::unreadable(path, "ELF", "its dynamic section is broken"));
        return;
    }
    for needed in &elf.needed {
        if needed.windows(4).any(|part| part == b".so.")
            && let Some(needed) = library_name(package, path, needed)
        {
            depend_on(package, needed);
        }
    }
    let name = base_name(path);
    let is_library = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
    // Programs have no SONAME, but some of a Java runtime do; and glibc's and libcap's libraries can be started as programs.
    if elf.interpreter.is_none() || is_library {
        provide(package, path, elf, is_library);
    }
    if elf.loads_openssl {
        package.found.depends.extend(OPENSSL_OF_GO.map(str::to_owned));
    }
}

fn provide(package: &mut Package<'_>, path: &[u8], elf: &Elf, is_library: bool) {
    let is_public = package.analysis.libraries.is_in_directory(path);
    if elf.sonames.is_empty() && is_public && is_library {
        package.notes.add(|| Note::no_soname(path));
    }
    for soname in &elf.sonames {
        let Some(soname) = library_name(package, path, soname) else { continue };
        let entries = [
            format!("so:{soname}={}", library_version(soname)),
            format!("so-ver:{soname}={}", package.analysis.version),
        ];
        let list = if is_public { &mut package.found.provides } else { &mut package.found.vendored };
        list.extend(entries);
    }
}

/// A name that can be a dependency and is not the host's affair.
fn library_name<'t>(package: &mut Package<'_>, path: &[u8], name: &'t [u8]) -> Option<&'t str> {
    if OF_HOST.iter().any(|library| library.as_bytes() == name) {
        return None;
    }
    let text = package.text(path, name)?;
    if text.contains([' ', '=', '<', '>', '~']) {
        package.notes.add(|| Note::unusable(path, name));
        return None;
    }
    Some(text)
}

fn depend_on(package: &mut Package<'_>, library: &str) {
    package.depend("so", library);
    let Some(installed) = package.analysis.library_versions else { return };
    if package.declared.options.no_versioned_shlib_deps
        || LOADERS.iter().any(|loader| library.starts_with(loader))
    {
        return;
    }
    // A library of the build itself is newer than what the guest has of it.
    let is_own = package.analysis.own_libraries.contains(library.as_bytes());
    let version =
        if is_own { Some(package.analysis.version) } else { installed.get(library).map(String::as_str) };
    if let Some(version) = version {
        package.found.depends.insert(format!("so-ver:{library}>={version}"));
    }
}

/// The version in the name of a library: `1.2` of `libx.so.1.2`, else `0`.
fn library_version(soname: &str) -> &str {
    let version = soname.split(".so.").nth(1).unwrap_or_default();
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_version { version } else { "0" }
}
