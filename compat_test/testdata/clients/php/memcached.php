<?php
// php-memcached: libmemcached under PHP, with its text protocol, the default, with its binary one, and by UDP. Sessions
// live in it, too; they speak binary unless told otherwise.
[, $host, $port, $way] = $argv;

function want($what, $got, $wanted) {
    if ($got !== $wanted) {
        fwrite(STDERR, substr("$what: " . var_export($got, true), 0, 300) . ", want " . substr(var_export($wanted, true), 0, 300) . "\n");
        exit(1);
    }
}

function passes($seconds) { // lets the test move the server's clock
    fwrite(STDOUT, "pass $seconds\n");
    fgets(STDIN);
}

function connect($options = [], $user = null, $password = null) {
    global $host, $port;
    $mc = new Memcached();
    $mc->setOptions($options);
    if ($user !== null) {
        $mc->setSaslAuthData($user, $password);
    }
    $mc->addServer($host, (int)$port);
    return $mc;
}

$raw = implode('', array_map('chr', range(0, 255)));

if ($way === 'udp') { // it sends and hears nothing
    $udp = new Memcached();
    $udp->setOptions([Memcached::OPT_USE_UDP => true, Memcached::OPT_COMPRESSION => false]);
    $udp->addServer($host, (int)$argv[4]);
    $mc = connect();
    $arrives = function ($what, $key, $wanted) use ($mc) {
        for ($until = microtime(true) + 20; $mc->get($key) !== $wanted; usleep(5000)) {
            if (microtime(true) > $until) {
                want($what, $mc->get($key), $wanted);
            }
        }
    };
    $udp->set('k', 'v');
    $arrives('set', 'k', 'v');
    $udp->set('k', str_repeat('x', 1000));
    $arrives('set of as much as a datagram takes', 'k', str_repeat('x', 1000));
    $udp->append('k', 'end');
    $arrives('append', 'k', str_repeat('x', 1000) . 'end');
    $udp->set('n', '35');
    $arrives('set of a number', 'n', '35');
    $udp->increment('n', 7);
    $arrives('incr', 'n', '42');
    $udp->delete('k');
    $arrives('delete', 'k', false);
    for ($i = 0; $i < 50; $i++) {
        $udp->set("many$i", "v$i");
        $arrives('set many', "many$i", "v$i");
    }
    exit;
}

$binary = $way !== 'text';
// With the options that Symfony's adapter has on unless told otherwise. Compression is off, for values to be as long as said.
$options = [Memcached::OPT_COMPRESSION => false] + ($binary ? [Memcached::OPT_BINARY_PROTOCOL => true,
    Memcached::OPT_LIBKETAMA_COMPATIBLE => true, Memcached::OPT_TCP_NODELAY => true, Memcached::OPT_NO_BLOCK => true] : []);
$login = $way === 'sasl' ? ['alice', 's3cret'] : [];
$mc = connect($options, ...$login);

foreach (['', 'x', $raw, "a\r\nEND\r\nVALUE x 0 1\r\n", 42, 1.5, true, ['a' => [1, null]]] as $value) {
    want('set', $mc->set('k', $value), true);
    want('get', $mc->get('k'), $value);
}
want('get of nothing', $mc->get('nobody'), false);
want('what it says', $mc->getResultCode(), Memcached::RES_NOTFOUND);
$long = str_repeat('k', 250); // an odd key it does not let out
want('set', $mc->set($long, 'v'), true);
want('get', $mc->get($long), 'v');

want('add to something', $mc->add('k', 'x'), false);
want('add', $mc->add('n1', 'x'), true);
want('replace nothing', $mc->replace('n2', 'x'), false);
want('replace', $mc->replace('n1', 'b'), true);
want('append', $mc->append('n1', "c\0"), true);
want('prepend', $mc->prepend('n1', 'a'), true);
want('all of it', $mc->get('n1'), "abc\0");
want('append to nothing', $mc->append('n2', 'x'), false);

['cas' => $unique] = $mc->get('n1', null, Memcached::GET_EXTENDED);
want('cas', $mc->cas($unique, 'n1', 'mine'), true);
want('cas again', $mc->cas($unique, 'n1', 'theirs'), false);
want('what it says', $mc->getResultCode(), Memcached::RES_DATA_EXISTS);
want('who won', $mc->get('n1'), 'mine');
want('cas of nothing', $mc->cas($unique, 'n2', 'x'), false);

$mc->set('n', 35);
want('incr', $mc->increment('n', 7), 42);
want('decr', $mc->decrement('n', 3), 39);
want('decr below 0', $mc->decrement('n', 100), 0);
want('get a number that has become shorter', $mc->get('n'), 0);
want('incr far', $mc->increment('n', PHP_INT_MAX), PHP_INT_MAX);
want('incr of nothing', $mc->increment('n2'), false);
want('incr of a word', $mc->increment('n1'), false);

for ($i = 0; $i < 500; $i++) {
    $many["many$i"] = "v$i";
}
want('set many', $mc->setMulti($many), true);
$got = $mc->getMulti(array_merge(array_keys($many), ['nobody']));
ksort($got);
ksort($many);
want('get many', $got, $many);
want('delete many', array_unique($mc->deleteMulti(array_keys(array_slice($many, 0, 250)))), ['many0' => true]);
want('half of them', count($mc->getMulti(array_keys($many))), 250);
want('ask now', $mc->getDelayed(['k', 'n1', 'nobody'], true), true);
want('fetch later', array_column($mc->fetchAll(), 'key'), ['k', 'n1']);
want('delete', $mc->delete('k'), true);
want('delete again', $mc->delete('k'), false);

$large = str_repeat($raw, 4000);
want('set large', $mc->set('large', $large), true);
want('get large', $mc->get('large'), $large);
want('too large', $mc->set('large', str_repeat($raw, 4096)), false);
want('what it says', $mc->getResultCode(), Memcached::RES_E2BIG);
want('what was there before', $mc->get('large'), false);

$mc->set('short', 's', 2);
$mc->set('longer', 'l', 2);
want('touch', $mc->touch('longer', 100), true);
want('touch nothing', $mc->touch('nobody', 100), false);
want('not over', $mc->get('short'), 's');
passes(3);
want('over', $mc->getMulti(['short', 'longer']), ['longer' => 'l']);

$mc->setOption(Memcached::OPT_NOREPLY, true);
for ($i = 0; $i < 100; $i++) {
    $mc->set("quiet$i", 'q');
}
$mc->delete('quiet0');
$mc->setOption(Memcached::OPT_NOREPLY, false);
want('set without a word', $mc->get('quiet99'), 'q');
want('deleted without a word', $mc->get('quiet0'), false);

if ($way === 'text') {
    ini_set('memcached.sess_binary_protocol', '0');
} elseif ($way === 'sasl') {
    ini_set('memcached.sess_sasl_username', 'alice');
    ini_set('memcached.sess_sasl_password', 's3cret');
}
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', "$host:$port");
ini_set('session.use_cookies', '0');
ini_set('session.use_only_cookies', '0');
ini_set('session.cache_limiter', '');
session_id('somebody');
want('a session begins', session_start(), true);
$_SESSION['name'] = "Ada\0";
want('it ends', session_write_close(), true);
$_SESSION = [];
session_id('somebody');
want('it begins again', session_start(), true);
want('what it knows', $_SESSION, ['name' => "Ada\0"]);
want('it is forgotten', session_destroy(), true);

want('version', substr($mc->getVersion()["$host:$port"], 0, 4), '1.6.');
want('stats', $mc->getStats()["$host:$port"]['curr_items'] > 0, true);
want('flush_all', $mc->flush(), true);
want('get after it', $mc->get('n1'), false);

if ($way === 'sasl') {
    foreach ([['alice', 'wrong'], ['nobody', 's3cret'], []] as $who) {
        $stranger = connect($options, ...$who);
        want('a wrong password, or none', $stranger->set('k', 'x'), false);
        want('what it says', $stranger->getResultCode(), Memcached::RES_AUTH_FAILURE);
    }
    want('what has come of it', $mc->get('k'), false);
}
