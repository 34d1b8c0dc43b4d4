//! docker's command lines as pure functions of the plan: one switch and its value a line.
//!
//! What a build writes into overlays lies in volumes of dockerd's own (an upper and a work directory each), so that
//! nobody needs root to remove them. The overlay itself is a volume without a name: dockerd mounts it, hence the container needs no
//! right to mount, and removes it with the container.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::plan::{Bind, BindSource, DEFAULT_CAPABILITIES, HOSTNAME, Network, Plan, Platform, Writes};

/// The label of everything that belongs to a run: the run's directory, which is locked for as long as the run lives.
pub(super) const RUN_LABEL: &str = "kiln.run";
/// What a merged directory costs nothing with: a change of owner copies no data, a rename of a directory no tree.
const OVERLAY_OPTIONS: &str = "metacopy=on,redirect_dir=on";

/// What the command lines need besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The command.
    pub docker: &'a Path,
    /// dockerd's own directory.
    pub root: &'a Path,
    /// The image's id.
    pub image: &'a str,
    /// The agent's program.
    pub agent: &'a Path,
    /// The run's directory; its name is that of container and volumes.
    pub run_dir: &'a Path,
}

impl Files<'_> {
    /// The name of the container, and what those of its volumes begin with.
    pub(super) fn name(&self) -> String {
        format!("kiln-{}", self.run_dir.file_name().unwrap_or_default().to_string_lossy())
    }

    fn volume_directory(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name).join("_data")
    }

    /// The layer of whiteouts above the directory of the bind with this number.
    pub(super) fn hidden(&self, at: usize) -> PathBuf {
        self.run_dir.join(format!("hidden-{at}"))
    }

    fn label(&self) -> OsString {
        let mut label = OsString::from(format!("{RUN_LABEL}="));
        label.push(self.run_dir);
        label
    }
}

/// The binds of a plan for docker, numbered.
pub(super) fn binds(plan: &Plan) -> impl Iterator<Item = (usize, &Bind)> {
    let binds = match &plan.platform {
        Platform::Docker(binds) => binds.as_slice(),
        Platform::Qemu(_) | Platform::Bubblewrap(_) => &[],
    };
    binds.iter().enumerate()
}

/// The names of an overlay's two volumes: upper and work directory.
fn overlay_volumes(files: Files<'_>, at: usize) -> [String; 2] {
    ["upper", "work"].map(|part| format!("{}-{at}-{part}", files.name()))
}

/// The names of all volumes that have one.
pub(super) fn volumes(plan: &Plan, files: Files<'_>) -> Vec<String> {
    let overlaid = binds(plan).filter(|(_, bind)| matches!(bind.writes, Writes::Overlaid { .. }));
    overlaid.flat_map(|(at, _)| overlay_volumes(files, at)).collect()
}

/// Every command line, in the order in which they run; the last one is the container's.
pub fn argv(plan: &Plan, files: Files<'_>) -> Vec<Vec<OsString>> {
    let volumes = volumes(plan, files).into_iter().map(|name| volume(files, &name));
    volumes.chain([container(plan, files)]).collect()
}

/// Makes a volume.
pub(super) fn volume(files: Files<'_>, name: &str) -> Vec<OsString> {
    let mut line = Line(vec![files.docker.into(), "volume".into(), "create".into()]);
    line.opt("--label", files.label());
    line.0.push(name.into());
    line.0
}

/// Starts the container.
pub(super) fn container(plan: &Plan, files: Files<'_>) -> Vec<OsString> {
    let mut line = Line(vec![files.docker.into(), "run".into()]);
    line.opt("--name", files.name());
    line.opt("--label", files.label());
    // dockerd removes it and its nameless volumes when it has ended, whoever is there to ask for it.
    line.flag("--rm");
    line.flag("--interactive");
    // Images are kiln's; nothing is fetched behind its back.
    line.opt("--pull", "never");
    // The wire is no log: dockerd would write every frame to its disk.
    line.opt("--log-driver", "none");
    line.opt("--hostname", HOSTNAME);
    line.opt(
        "--network",
        match plan.network {
            Network::On => "bridge",
            Network::Off => "none",
        },
    );
    limits(&mut line, plan);
    for number in plan.world.capabilities.iter().flatten().filter(|&n| !DEFAULT_CAPABILITIES.contains(n)) {
        // What steps are to lose the agent takes from them: it needs its own to do so.
        line.opt("--cap-add", crate::plan::capability_name(*number));
    }
    // As in a microVM, where it is memory, too.
    line.opt("--tmpfs", "/run:rw,nosuid,nodev,exec,mode=755");
    for (at, bind) in binds(plan) {
        line.opt("--mount", mount(files, at, bind));
    }
    line.opt("--user", "0:0");
    line.opt("--workdir", "/");
    line.opt("--entrypoint", agent_target(plan));
    line.0.push(files.image.into());
    line.flag("--stdio");
    line.0
}

fn limits(line: &mut Line, plan: &Plan) {
    let memory_mib = plan.resources.memory_mib;
    line.opt("--cpus", plan.resources.cpus.to_string());
    line.opt("--memory", format!("{memory_mib}m"));
    // As much with swap: none, as in a microVM.
    line.opt("--memory-swap", format!("{memory_mib}m"));
    // A tmpfs holds half of the memory by default, and 64 MiB in docker.
    line.opt("--shm-size", format!("{}m", memory_mib / 2));
}

fn agent_target(plan: &Plan) -> &str {
    let agent = binds(plan).find(|(_, bind)| bind.source == BindSource::Agent);
    agent.map_or("", |(_, bind)| bind.target.as_str())
}

/// The value of `--mount`: CSV, in which a field with a comma, a quote or a line break stands in quotes.
fn mount(files: Files<'_>, at: usize, bind: &Bind) -> OsString {
    let source = match &bind.source {
        BindSource::Agent => files.agent,
        BindSource::Directory(path) => path,
        // Docker's root is the image, its disk that of dockerd: a plan for docker has no such binds.
        BindSource::Root | BindSource::Scratch => Path::new("/var/empty"),
    };
    let mut fields = vec![];
    match &bind.writes {
        Writes::Refused | Writes::Through => {
            fields.push(OsString::from("type=bind"));
            fields.push(joined("src=", source.as_os_str()));
        }
        Writes::Overlaid { hidden } => {
            let [upper, work] = overlay_volumes(files, at).map(|name| files.volume_directory(&name));
            let whiteouts = (!hidden.is_empty()).then(|| files.hidden(at));
            let lower: Vec<OsString> =
                whiteouts.iter().map(PathBuf::as_path).chain([source]).map(escaped).collect();
            let mut options = joined("volume-opt=o=lowerdir=", &lower.join(OsStr::new(":")));
            for (name, path) in [(",upperdir=", &upper), (",workdir=", &work)] {
                options.push(name);
                options.push(escaped(path));
            }
            options.push(format!(",{OVERLAY_OPTIONS}"));
            let plain = [
                "type=volume",
                "volume-driver=local",
                "volume-opt=type=overlay",
                "volume-opt=device=overlay",
            ];
            fields.extend(plain.map(OsString::from));
            fields.push(options);
        }
    }
    fields.push(joined("dst=", OsStr::new(&bind.target)));
    if bind.writes == Writes::Refused {
        fields.push("readonly".into());
    }
    let fields: Vec<OsString> = fields.into_iter().map(csv).collect();
    fields.join(OsStr::new(","))
}

fn joined(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push(value);
    text
}

/// A path in overlay's options, where a comma ends an option and a colon a layer.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let escape =
        |&byte: &u8| if matches!(byte, b'\\' | b',' | b':') { vec![b'\\', byte] } else { vec![byte] };
    OsString::from_vec(bytes.flat_map(escape).collect())
}

fn csv(field: OsString) -> OsString {
    let bytes = field.as_bytes();
    if !bytes.iter().any(|byte| b",\"\n\r".contains(byte)) {
        return field;
    }
    let doubled = bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    OsString::from_vec([b"\"", doubled.collect::<Vec<u8>>().as_slice(), b"\""].concat())
}

struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, switch: &str) {
        self.0.push(switch.into());
    }

    fn opt(&mut self, switch: &str, value: impl AsRef<OsStr>) {
        self.0.push(switch.into());
        self.0.push(value.as_ref().into());
    }
}
