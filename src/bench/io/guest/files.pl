# What one process does to many small files: the directory, and how many. Markers go to descriptor 3, as those of drive.sh.
use strict;
use warnings;

my ($root, $count) = @ARGV;
open(my $markers, '>&=', 3) or die "descriptor 3: $!";
my $per_directory = 100;
my @directories = map { sprintf '%s/%03d', $root, $_ } 0 .. ($count - 1) / $per_directory;
my @names = map { sprintf '%s/file-%03d', $directories[$_ / $per_directory], $_ % $per_directory } 0 .. $count - 1;
my $content = 'x' x 100;

# As cold in drive.sh.
sub cold {
    open(my $file, '>', '/proc/sys/vm/drop_caches') or return;
    syscall(162);    # sync(2) on x86_64
    syswrite($file, '3');
}

sub timed {
    my ($name, $work) = @_;
    cold();
    syswrite($markers, "\@ begin $name\n");
    my $done = eval { $work->(); 1 };
    my $reason = $@ =~ s/\s+/ /gr;
    syswrite($markers, $done ? "\@ end $name\n" : "\@ failed $name $reason\n");
    exit 1 unless $done;
}

for my $directory ($root, @directories) { mkdir $directory or die "$directory: $!" }

timed('create', sub {
    for my $name (@names) {
        open(my $file, '>', $name) or die "$name: $!";
        syswrite($file, $content) == length $content or die "$name: $!";
        close $file or die "$name: $!";
    }
});
timed('stat', sub { for my $name (@names) { stat $name or die "$name: $!" } });
timed('readdir', sub {
    my $seen = 0;
    for my $directory (@directories) {
        opendir(my $entries, $directory) or die "$directory: $!";
        $seen += grep { !/^\./ } readdir $entries;
    }
    $seen == $count or die "$seen of $count files";
});
timed('rename', sub { for my $name (@names) { rename $name, "$name.new" or die "$name: $!" } });
timed('unlink', sub { for my $name (@names) { unlink "$name.new" or die "$name: $!" } });
