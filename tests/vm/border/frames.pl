# Sends frames past the guest's routes, as its root can: perl frames.pl CONTROL PORT…
#
# For each address that might lead to the host's loopback, and then for CONTROL, an address of the host that a guest may reach:
# to each port a connection (SYN), a datagram that says how it was sent, the same with IP options and in fragments. Waits for
# CONTROL's answer: by then all that was sent before has been dealt with.
use strict;
use Socket qw(inet_pton AF_INET AF_INET6);

my ($control, @ports) = @ARGV;
my @v4 = qw(10.0.2.2 10.0.2.3 10.0.2.4 10.0.2.15 10.0.2.255 127.0.0.1 127.0.0.154 127.1.2.3 0.0.0.0 0.0.0.1 224.0.0.1 255.255.255.255);
my @v6 = qw(fec0::2 fec0::3 ::1 :: ::ffff:127.0.0.1 ::127.0.0.1 fe80::1 fe80::2 ff02::1);

my ($card) = grep { $_ ne 'lo' } map { s#.*/##r } glob('/sys/class/net/*');
sub slurp { open(my $file, '<', $_[0]) or die "$_[0]: $!"; my $text = <$file>; chomp $text; $text }
my $index = slurp("/sys/class/net/$card/ifindex") + 0;
my $mac = pack('H*', slurp("/sys/class/net/$card/address") =~ s/://gr);
my $to = pack('H*', '52550a000202');
# AF_PACKET, SOCK_RAW, ETH_P_ALL
socket(my $raw, 17, 3, 0x0300) or die "socket: $!";
my $place = pack('SnlSCCa8', 17, 0x0003, $index, 0, 0, 6, $to);
bind($raw, $place) or die "bind: $!";

sub checksum {
    my $data = shift;
    $data .= "\0" if length($data) % 2;
    my $sum = 0;
    $sum += $_ for unpack('n*', $data);
    $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16;
    ~$sum & 0xffff;
}
sub frame { my ($type, $packet) = @_; send($raw, $to . $mac . pack('n', $type) . $packet, 0, $place) or warn "send: $!" }

my ($port, $id) = (40000, 1);
sub tcp {
    my ($pseudo, $to_port) = @_;
    my $segment = pack('nnNNCCnnn', ++$port, $to_port, 1000, 0, 0x50, 2, 65535, 0, 0);
    substr($segment, 16, 2) = pack('n', checksum($pseudo->(6, length $segment) . $segment));
    $segment;
}
sub udp {
    my ($pseudo, $to_port, $text) = @_;
    my $datagram = pack('nnnn', ++$port, $to_port, 8 + length $text, 0) . $text;
    substr($datagram, 6, 2) = pack('n', checksum($pseudo->(17, length $datagram) . $datagram));
    $datagram;
}

sub ipv4 {
    my ($address, $protocol, $payload, $options, $fragment) = @_;
    my $words = 5 + length($options) / 4;
    my $header = pack('CCnnnCCna4a4', 0x40 | $words, 0, 4 * $words + length $payload, $id, $fragment, 64, $protocol, 0,
        inet_pton(AF_INET, '10.0.2.15'), inet_pton(AF_INET, $address)) . $options;
    substr($header, 10, 2) = pack('n', checksum($header));
    frame(0x0800, $header . $payload);
}
sub attack_v4 {
    my ($address, $to_port) = @_;
    my $pseudo = sub { inet_pton(AF_INET, '10.0.2.15') . inet_pton(AF_INET, $address) . pack('CCn', 0, @_) };
    for my $options ('', "\1\1\1\1") {
        my $how = $options ? 'with options' : 'plainly';
        $id++; ipv4($address, 6, tcp($pseudo, $to_port), $options, 0);
        $id++; ipv4($address, 17, udp($pseudo, $to_port, "raw $how to $address"), $options, 0);
    }
    my $datagram = udp($pseudo, $to_port, "raw in fragments to $address");
    $id++;
    ipv4($address, 17, substr($datagram, 0, 16), '', 0x2000);
    ipv4($address, 17, substr($datagram, 16), '', 2);
}

sub attack_v6 {
    my ($address, $to_port) = @_;
    my @ends = (inet_pton(AF_INET6, 'fec0::15'), inet_pton(AF_INET6, $address));
    my $pseudo = sub { my ($protocol, $length) = @_; join('', @ends) . pack('NN', $length, $protocol) };
    for ([6, tcp($pseudo, $to_port)], [17, udp($pseudo, $to_port, "raw to $address")]) {
        my ($protocol, $payload) = @$_;
        frame(0x86dd, pack('NnCC', 0x60000000, length $payload, $protocol, 64) . join('', @ends) . $payload);
    }
}

for my $to_port (@ports) {
    attack_v4($_, $to_port) for @v4;
    attack_v6($_, $to_port) for @v6;
}
attack_v4($control, $_) for @ports;
$SIG{ALRM} = sub { die "no answer from $control\n" };
alarm 60;
my $from = inet_pton(AF_INET, $control);
while (1) {
    recv($raw, my $answer, 4000, 0);
    last if length $answer > 47 && substr($answer, 26, 4) eq $from && ord(substr($answer, 47, 1)) & 2;
}
print "the control has answered\n";
