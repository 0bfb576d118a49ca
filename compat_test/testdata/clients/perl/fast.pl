# Cache::Memcached::Fast, a client in C under Perl.
use strict;
use warnings;
use Cache::Memcached::Fast;

my ($host, $port) = @ARGV;
my $mc = Cache::Memcached::Fast->new({servers => ["$host:$port"], io_timeout => 5, check_args => 'skip'});
my $raw = join '', map { chr } 0 .. 255;

sub show { defined $_[0] ? substr($_[0], 0, 200) : 'undef' }

sub want {
    my ($what, $got, $wanted) = @_;
    return if defined $got ? defined $wanted && $got eq $wanted : !defined $wanted;
    die "$what: " . show($got) . ", want " . show($wanted) . "\n";
}

sub passes {    # lets the test move the server's clock
    $| = 1;
    print "pass $_[0]\n";
    <STDIN>;
}

for my $value ('', 'x', $raw, "a\r\nEND\r\nVALUE x 0 1\r\n") {
    want('set', $mc->set('k', $value), 1);
    want('get', $mc->get('k'), $value);
}
want('set a structure', $mc->set('list', [1, 2, 3]), 1);
want('get it',          "@{$mc->get('list')}",       '1 2 3');
want('get of nothing',  $mc->get('nobody'),          undef);
for my $key ('k' x 250, "k\xc3\xa9\xf0\x9f\x98\x80\xff\x01") {
    want('set', $mc->set($key, 'v'), 1);
    want('get', $mc->get($key), 'v');
}

# '' is what it says when the server says no
want('add to something',  $mc->add('k', 'x'),       '');
want('add',               $mc->add('n1', 'x'),      1);
want('replace nothing',   $mc->replace('n2', 'x'),  '');
want('replace',           $mc->replace('n1', 'b'),  1);
want('append',            $mc->append('n1', "c\0"), 1);
want('prepend',           $mc->prepend('n1', 'a'),  1);
want('all of it',         $mc->get('n1'),           "abc\0");
want('append to nothing', $mc->append('n2', 'x'),   '');

my ($unique, $value) = @{$mc->gets('n1')};
want('gets',           $value,                           "abc\0");
want('cas',            $mc->cas('n1', $unique, 'mine'),   1);
want('cas again',      $mc->cas('n1', $unique, 'theirs'), '');
want('who won',        $mc->get('n1'),                   'mine');
want('cas of nothing', $mc->cas('n2', $unique, 'x'),      '');

$mc->set('n', 35);
want('incr',             $mc->incr('n', 7),   42);
want('decr',             $mc->decr('n', 3),   39);
want('decr below 0',     $mc->decr('n', 100), '0E0');
want('get a number that has become shorter', $mc->get('n'), '0 ');
want('incr far',         $mc->incr('n', 18446744073709551615), 18446744073709551615);
want('incr over the end', $mc->incr('n', 9), 8);
want('incr of nothing',  $mc->incr('n2', 1), '');
want('incr of a word',   $mc->incr('n1', 1), undef);

my %many = map { ("many$_" => "v$_") } 0 .. 499;
want('set many', scalar(grep { $_ } @{[$mc->set_multi(map { [$_ => $many{$_}] } keys %many)]}), 500);
my $got = $mc->get_multi(keys %many, 'nobody');
want('get many', join(' ', map { "$_=$got->{$_}" } sort keys %$got), join(' ', map { "$_=$many{$_}" } sort keys %many));
want('gets many', scalar(keys %{$mc->gets_multi(keys %many)}), 500);
want('delete many', scalar(grep { $_ } @{[$mc->delete_multi(map { "many$_" } 0 .. 249)]}), 250);
want('half of them', scalar(keys %{$mc->get_multi(keys %many)}), 250);
want('delete',       $mc->delete('many499'), 1);
want('delete again', $mc->delete('many499'), '');

my $large = $raw x 4000;
want('set large', $mc->set('large', $large), 1);
want('get large', $mc->get('large'), $large);
want('too large', $mc->set('large', $raw x 4096), undef);
want('what was there before', $mc->get('large'), undef);

$mc->set('short',  's', 2);
$mc->set('longer', 'l', 2);
want('touch',         $mc->touch('longer', 100), 1);
want('touch nothing', $mc->touch('nobody', 100), '');
want('gat',           $mc->gat(100, 'longer'),   'l');
want('gats',          $mc->gats(100, 'longer')->[1], 'l');
want('not over',      $mc->get('short'), 's');
passes(3);
$got = $mc->get_multi('short', 'longer');
want('over', join(' ', %$got), 'longer l');

# In void context it says noreply.
$mc->set("quiet$_", 'q') for 0 .. 99;
$mc->delete('quiet0');
$mc->nowait_push;
want('set without a word',     $mc->get('quiet99'), 'q');
want('deleted without a word', $mc->get('quiet0'),  undef);

want('version',      substr($mc->server_versions->{"$host:$port"}, 0, 4), '1.6.');
want('flush_all',    $mc->flush_all->{"$host:$port"}, 1);
want('get after it', $mc->get('n1'), undef);
