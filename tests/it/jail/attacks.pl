# What a package's script might try as root of a jail. Says what it got, each in a process of its own.
use strict;
use warnings;
use Errno qw(EPERM);
use Socket;

my ($marker, $port, $name, $pid, $secret) = @ARGV;
$| = 1;

sub attack {
    my ($what, $try) = @_;
    my $child = fork() // die;
    if (!$child) {
        # Only what is asked is said.
        open STDERR, '>', '/dev/null';
        my @got = $try->();
        print "$what: @got\n" if @got && $got[0];
        exit 0;
    }
    waitpid $child, 0;
}

sub opened { my ($how, $path) = @_; return open(my $file, $how, $path) ? $path : () }

open my $map, '<', '/proc/self/uid_map' or die;
print scalar <$map>;
opened('>', '/work/file');

attack 'ids are passed through' => sub { my @more = <$map>; return @more };
attack 'outside of chroot' => sub {
    mkdir '/work/x';
    chroot '/work/x' or return;
    chdir '..' for 1 .. 60;
    chroot '.';
    return -e $marker || opened('>', "$marker-new") || opened('<', '/etc/shadow');
};
attack 'by /proc' => sub {
    my @links = (glob('/proc/[0-9]*/root'), glob('/proc/[0-9]*/cwd'), glob('/proc/[0-9]*/fd/*'));
    my $up = '/..' x 60;
    return grep { -e "$_$marker" || -e "$_$up$marker" || -e "$_$up/etc/shadow" } @links;
};
attack 'processes of the host' => sub { return grep { $_ > 1000 } map { m{(\d+)} } glob '/proc/[0-9]*' };
attack 'kill' => sub { return $pid > 100 && kill 0, $pid };
attack 'program of process 1' => sub { return opened('+<', '/proc/1/exe') };
for my $node (['disk', 0060600, 8 << 8], ['memory', 0020600, (1 << 8) | 1], ['kmsg', 0020600, (1 << 8) | 11]) {
    my ($what, $mode, $device) = @$node;
    attack "node of $what" => sub { return 0 == syscall(133, "/work/$what", $mode, $device) };
}
attack 'device tree' => sub { mkdir '/work/d'; return 0 == system 'mount -t devtmpfs none /work/d' };
for my $type ('cgroup -o memory', 'cgroup -o devices', 'cgroup2', 'sysfs', 'debugfs', 'securityfs') {
    attack "write into $type" => sub {
        mkdir '/work/c';
        system("mount -t $type none /work/c") == 0 or return;
        my @files = qw(release_agent notify_on_release cgroup.procs cgroup.subtree_control power/state kernel/uevent_helper);
        return map { opened('>', "/work/c/$_") } @files;
    };
}
for my $path (qw(kernel/core_pattern kernel/modprobe kernel/sysrq kernel/hotplug kernel/panic vm/drop_caches fs/binfmt_misc/register)) {
    attack 'setting' => sub { return opened('>', "/proc/sys/$path") };
}
attack 'sysrq' => sub { return opened('>', '/proc/sysrq-trigger') };
attack 'binfmt_misc' => sub {
    # One of the namespace's own may be mounted; the host's is not it.
    mkdir '/work/b';
    system('mount -t binfmt_misc none /work/b') == 0 or return;
    return grep { !/register|status/ } glob '/work/b/*';
};
for my $node (qw(full null zero random urandom tty)) {
    attack "mode of /dev/$node" => sub { return chmod 0600, "/dev/$node" };
    attack "owner of /dev/$node" => sub { return chown 0, 0, "/dev/$node" };
}
attack 'devices' => sub {
    my %known = map { $_ => 1 } qw(console fd full null pts random shm stderr stdin stdout tty urandom zero);
    return grep { m{/dev/(.*)} && !$known{$1} } glob '/dev/*';
};
attack 'terminal' => sub { open my $tty, '+<', '/dev/tty' or return; my $key = 'x'; return ioctl $tty, 0x5412, $key };
for my $path (qw(/usr/x /usr/bin/x /etc/passwd /etc/x /x /bin/sh /proc/self/../../x)) {
    attack 'write' => sub { return opened('>>', $path) };
}
for my $path (qw(/usr /etc/passwd)) {
    attack 'remount' => sub { return 0 == system "mount -o remount,bind,rw $path" };
    attack 'uncover' => sub { return 0 == system "umount -l $path" };
}
attack 'the root below' => sub { system 'umount -l /'; chdir '..' for 1 .. 9; return -e $marker || opened('<', '/etc/shadow') };
attack 'the /proc below' => sub {
    # unshare(CLONE_NEWNS): the other attacks need it.
    syscall 272, 0x20000;
    system 'umount -l /proc';
    return -e "/proc/self";
};
attack 'the host' => sub { return grep { -e } qw(/root /home /var /srv /etc/shadow /etc/ssh /run/docker.sock /sys/kernel), glob('/run/*') };
attack 'loopback of the host' => sub {
    socket my $socket, PF_INET, SOCK_STREAM, 0 or return;
    return connect $socket, pack_sockaddr_in($port, inet_aton('127.0.0.1'));
};
attack 'abstract socket of the host' => sub {
    socket my $socket, PF_UNIX, SOCK_STREAM, 0 or return;
    return connect $socket, pack('S a*', AF_UNIX, "\0$name");
};
attack 'environment' => sub { return grep { $_ eq $secret } keys %ENV };
# ptrace, syslog, acct, settimeofday, swapon, reboot, init_module, kexec_load, add_key, request_key, keyctl, perf_event_open,
# open_by_handle_at, process_vm_readv, finit_module, bpf, userfaultfd, io_uring_setup
for my $number (101, 103, 163, 164, 167, 169, 175, 246, 248, 249, 250, 298, 304, 310, 313, 321, 323, 425) {
    attack "system call $number" => sub { my $result = syscall $number, 0, 0, 0, 0, 0; return !($result == -1 && $! == EPERM) };
}
attack 'another session key' => sub { open my $keys, '<', '/proc/keys' or return; return grep { /kiln-test/ } <$keys> };
# What it is for.
attack 'no owner can be given' => sub { return !chown 33, 33, '/work/file' };
attack 'no mount can be made' => sub { mkdir '/work/p'; return 0 != system 'mount -t proc proc /work/p && mount -t tmpfs none /work/d' };
attack 'no loopback of its own' => sub {
    socket my $listener, PF_INET, SOCK_STREAM, 0 or return 'socket';
    bind $listener, pack_sockaddr_in(0, INADDR_LOOPBACK) and listen $listener, 1 or return 'listen';
    socket my $socket, PF_INET, SOCK_STREAM, 0;
    return connect($socket, getsockname $listener) ? () : 'connect';
};
attack 'no empty directory' => sub { return !-d '/etc/apt/apt.conf.d' };
print "end\n";
