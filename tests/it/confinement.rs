//! Attacks of a step on the agent and the kernel, in every backend: scripts for perl, which is in every Debian.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Ends with 0 if nothing of the agent, process 1, can be had: neither its descriptors, by which it speaks to kiln, nor its memory,
/// nor the device that its channel is in a microVM.
pub(crate) const AGENT_IS_CLOSED: &str = r#"cat > /tmp/agent.pl <<'END'
use POSIX ();
my $had = 0;
sub had { print "had: $_[0]\n"; $had = 1 }
for my $number (0 .. 63) {
  my $path = "/proc/1/fd/$number";
  had($path) if sysopen(my $file, $path, POSIX::O_RDONLY() | POSIX::O_NONBLOCK());
  had("$path for writing") if sysopen(my $other, $path, POSIX::O_WRONLY() | POSIX::O_NONBLOCK());
}
for my $name ("mem", "environ", "maps", "auxv") {
  open(my $file, "<", "/proc/1/$name") and sysread($file, my $byte, 1) and had($name);
}
for my $name ("root", "cwd", "exe", "ns/user", "fd/0") { defined(readlink("/proc/1/$name")) and had($name) }
syscall(101, 0x4206, 1, 0, 0) == 0 and had("ptrace");
my $process = syscall(434, 1, 0);
for my $number (0 .. 63) { $process >= 0 and syscall(438, $process, $number, 0) >= 0 and had("pidfd_getfd of $number") }
my $here = "\0" x 64;
my $local = pack("QQ", unpack("Q", pack("p", $here)), 64);
my $remote = pack("QQ", 0x400000, 64);
syscall(310, 1, $local, 1, $remote, 1, 0) >= 0 and had("process_vm_readv");
for my $port (glob("/sys/class/virtio-ports/*/dev")) {
  open(my $file, "<", $port) or next;
  my ($major, $minor) = split(/[:\n]/, <$file>);
  my $node = "/tmp/port";
  unlink($node);
  syscall(133, $node, 0020600, ($major << 8) | $minor);
  for my $path ($node, glob("/dev/vport*")) {
    had($path) if sysopen(my $device, $path, POSIX::O_RDWR() | POSIX::O_NONBLOCK());
  }
}
print "the agent is closed\n" unless $had;
exit $had;
END
perl /tmp/agent.pl"#;

/// System calls of x86_64 with the error that the profile of every docker since 20.10 gives without a grant, and arguments.
const CALLS: &str = "\
keyctl 250 EPERM 0 -3 0
keyctl 250 EPERM 10 -4
add_key 248 EPERM
request_key 249 EPERM
bpf 321 EPERM
mount 165 EPERM
umount2 166 EPERM
pivot_root 155 EPERM
fsopen 430 EPERM
fsmount 432 EPERM
open_tree 428 EPERM
move_mount 429 EPERM
mount_setattr 442 EPERM
unshare 272 EPERM 0x10000000
unshare 272 EPERM 0x20000
unshare 272 EPERM 0
setns 308 EPERM -1 0
clone 56 EPERM 0x10000011
clone 56 EPERM 0x20011
clone 56 EPERM 0x40000011
clone3 435 ENOSYS
kexec_load 246 EPERM
kexec_file_load 320 EPERM
perf_event_open 298 EPERM
userfaultfd 323 EPERM
swapon 167 EPERM
acct 163 EPERM
settimeofday 164 EPERM
reboot 169 EPERM
init_module 175 EPERM
finit_module 313 EPERM
delete_module 176 EPERM
iopl 172 EPERM
ioperm 173 EPERM
quotactl 179 EPERM
syslog 103 EPERM 10
sethostname 170 EPERM
open_by_handle_at 304 EPERM
fanotify_init 300 EPERM
get_mempolicy 239 EPERM
kcmp 312 EPERM
vhangup 153 EPERM
personality 135 EPERM 0x400000
keyctl_of_x32 0x400000fa EPERM
mount_of_x32 0x400000a5 EPERM
";

/// Calls that stay allowed: each fails, if at all, for another reason.
const FREE: &str = "\
ptrace 101 ESRCH 9999 999999 0 0
personality 135 0 0xffffffff
socket 41 0 1 1 0
seccomp 317 EINVAL 9999 0 0
getpid 39 0
";

const CALLER: &str = r#"cat > /tmp/calls.pl <<'END'
use Errno;
my $wrong = 0;
open(my $list, "<", "/tmp/calls") or die;
while (<$list>) {
  my ($name, $number, $expected, @arguments) = split;
  @arguments = map { /^-?\d+$/ ? $_ + 0 : hex($_) } @arguments;
  push @arguments, 0 while @arguments < 6;
  $number = $number =~ /^0x/ ? hex($number) : $number + 0;
  $! = 0;
  my $result = syscall($number, @arguments);
  POSIX::_exit(0) if $result == 0 && $number == 56;
  my $code = $expected eq "0" ? 0 : Errno->can($expected)->();
  my $got = $result < 0 ? $! + 0 : 0;
  next if $got == $code;
  print "$name(@arguments): $got, not $code\n";
  $wrong = 1;
}
print "all calls were answered as they should be\n" unless $wrong;
exit $wrong;
END
perl -MPOSIX /tmp/calls.pl"#;

/// A step that makes the calls, and ends with 0 if each gives its error.
pub(crate) fn calls(more: &str) -> String {
    format!("cat > /tmp/calls <<'END'\n{CALLS}{more}{FREE}END\n{CALLER}")
}

/// Calls of i386 with their first argument and the error that they give: EPERM, and for one that is allowed EBADF.
const OF_I386: [(&str, u32, u32, u32); 5] = [
    ("keyctl", 288, 0, 1),
    ("add_key", 286, 0, 1),
    ("mount", 21, 0, 1),
    ("unshare", 310, 0x1000_0000, 1),
    ("close", 6, u32::MAX, 9),
];

/// Writes programs of i386 into a directory, each of which makes one call and ends with its error.
pub(crate) fn write_i386_programs(directory: &Path) {
    for (name, number, argument, _) in OF_I386 {
        let path = directory.join(format!("i386-{name}"));
        fs::write(&path, i386_program(number, argument)).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    }
}

/// A step that runs them in its working directory; a kernel without i386 (126) has nothing to filter.
pub(crate) fn i386_calls() -> String {
    let line = |(name, _, _, error): &(&str, u32, u32, u32)| {
        let wrong = format!("{{ echo {name}: $code; exit 1; }}");
        format!("code=0; ./i386-{name} || code=$?; test $code = {error} -o $code = 126 || {wrong}\n")
    };
    OF_I386.iter().map(line).collect::<String>() + "echo all programs of i386 were answered"
}

/// An ELF file: `mov eax, number; mov ebx, argument; xor ecx, ecx; xor edx, edx; int 0x80; neg eax; mov ebx, eax; mov eax, 1; int 0x80`.
fn i386_program(number: u32, argument: u32) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    const BASE: u32 = 0x0804_8000;
    let mut code = vec![0xB8];
    code.extend(number.to_le_bytes());
    code.push(0xBB);
    code.extend(argument.to_le_bytes());
    code.extend([0x31, 0xC9, 0x31, 0xD2, 0xCD, 0x80, 0xF7, 0xD8, 0x89, 0xC3, 0xB8, 1, 0, 0, 0, 0xCD, 0x80]);
    let size = HEADERS + u32::try_from(code.len()).expect("it is short");
    // Class 32, little-endian, version 1.
    let mut file = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable of machine 3 (EM_386), version 1.
    file.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    // Entry, program headers, section headers, flags.
    file.extend([BASE + HEADERS, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()));
    // Sizes and counts of headers.
    file.extend([52u16, 32, 1, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    // One segment to be loaded, read and executed: all of the file.
    file.extend([1, 0, BASE, BASE, size, size, 5, 0x1000].iter().flat_map(|word: &u32| word.to_le_bytes()));
    file.extend(code);
    file
}
