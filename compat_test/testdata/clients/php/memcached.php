<?php
// php-memcached: libmemcached under PHP, with its text protocol, the default. Sessions live in it, too.
[, $host, $port] = $argv;

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

$mc = new Memcached();
$mc->addServer($host, (int)$port);
$mc->setOption(Memcached::OPT_COMPRESSION, false);
$raw = implode('', array_map('chr', range(0, 255)));

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

ini_set('memcached.sess_binary_protocol', '0');
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
