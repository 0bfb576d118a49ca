# dalli, Ruby's client, which speaks the binary protocol unless told otherwise. Rails keeps its cache in it.
require 'dalli'
require 'logger'

host, port, way = ARGV
Dalli.logger = Logger.new(IO::NULL) # or it tells of every refusal that is asked for here
SERVER = "#{host}:#{port}".freeze
OPTIONS = { compress: false, value_max_bytes: 1 << 30, socket_timeout: 20 }.freeze

def want(what, got, wanted)
  abort "#{what}: #{got.inspect[0, 200]}, want #{wanted.inspect[0, 200]}" unless got == wanted
end

def refuses(what, pattern)
  got = yield
rescue Dalli::DalliError => e
  abort "#{what}: #{e.message[0, 200]}, want #{pattern}" unless e.message =~ pattern
else
  abort "#{what}: #{got.inspect[0, 200]}, want #{pattern}"
end

def passes(seconds) # lets the test move the server's clock
  puts "pass #{seconds}"
  $stdout.flush
  $stdin.gets
end

login = way == 'sasl' ? { username: 'alice', password: 's3cret' } : {}
mc = Dalli::Client.new(SERVER, OPTIONS.merge(login))
raw = (0..255).to_a.pack('C*')
plain = { raw: true }

['', 'x', raw, "a\r\nEND\r\nVALUE x 0 1\r\n", 'grüße', 42, 1.5, true, { 'a' => [1, nil] }].each do |value|
  want 'set', mc.set('k', value) > 0, true
  want 'get', mc.get('k'), value
end
want 'get of nothing', mc.get('nobody'), nil
['k' * 250, "k\xC3\xA9\xF0\x9F\x98\x80\x01"].each do |key|
  mc.set(key, 'v')
  want 'get', mc.get(key), 'v'
end

want 'add to something', mc.add('k', 'x'), false
want 'add', mc.add('n1', 'x', 0, plain) > 0, true
want 'replace nothing', mc.replace('n2', 'x'), 0 # it takes the unique of the reply
want 'replace', mc.replace('n1', 'b', 0, plain) > 0, true
want 'append', mc.append('n1', "c\0"), true
want 'prepend', mc.prepend('n1', 'a'), true
want 'all of it', mc.get('n1'), "abc\0"
want 'append to nothing', mc.append('n2', 'x'), false

_, unique = mc.get_cas('n1')
want 'cas', mc.set_cas('n1', 'mine', unique) > 0, true
want 'cas again', mc.set_cas('n1', 'theirs', unique), false
want 'who won', mc.get('n1'), 'mine'
want 'cas of nothing', mc.set_cas('n2', 'x', unique), 0
want 'cas by a block', mc.cas('n1') { |v| "#{v}!" } > 0, true
want 'what it made', mc.get('n1'), 'mine!'
want 'delete of another version', mc.delete_cas('n1', unique), false
want 'it is there', mc.get('n1'), 'mine!'

want 'incr of nothing', mc.incr('n', 7), nil
want 'incr of nothing begins a count', mc.incr('n', 7, 0, 35), 35
want 'incr', mc.incr('n', 7), 42
want 'decr', mc.decr('n', 3), 39
want 'decr below 0', mc.decr('n', 100), 0
want 'incr far', mc.incr('n', 2**64 - 1), 2**64 - 1
want 'get it', mc.get('n').to_i, 2**64 - 1
want 'incr over the end', mc.incr('n', 9), 8
refuses('incr of a word', /^Response error 6:/) { mc.incr('n1', 1) }

many = (0...1000).to_h { |i| ["many#{i}", "v#{i}"] }
mc.multi { many.each { |key, value| mc.set(key, value) } } # quietly
want 'get many', mc.get_multi(*many.keys, 'nobody'), many
uniques = mc.get_multi_cas(*many.keys).map { |_, (_, u)| u }
want 'each has a unique of its own', uniques.uniq.size, 1000
mc.multi do
  500.times { |i| mc.delete("many#{i}") }
  mc.add('many999', 'x') # is refused, and so are the next two, all of it quietly
  mc.replace('many0', 'x')
  mc.delete('nobody')
end
want 'half of them', mc.get_multi(*many.keys), many.drop(500).to_h
want 'delete', mc.delete('many999'), true
want 'delete again', mc.delete('many999'), nil

large = raw * 2000
mc.set('large', large)
want 'get large', mc.get('large'), large
refuses('too large', /^Response error 3:/) { mc.set('large', raw * 4096) }
want 'what was there before', mc.get('large'), nil

mc.set('short', 's', 2)
mc.set('longer', 'l', 2)
mc.set('longest', 'l', 2)
want 'touch', mc.touch('longer', 100), true
want 'touch nothing', mc.touch('nobody', 100), nil
want 'gat', mc.gat('longest', 100), 'l'
want 'gat of nothing', mc.gat('nobody', 100), nil
want 'not over', mc.get('short'), 's'
passes(3)
want 'over', mc.get_multi('short', 'longer', 'longest'), { 'longer' => 'l', 'longest' => 'l' }

want 'version', mc.version[SERVER].start_with?('1.6.'), true
want 'stats', mc.stats[SERVER]['curr_items'].to_i > 0, true
want 'stats settings', mc.stats(:settings)[SERVER]['maxconns'], '1024'
want 'stats items', mc.stats(:items)[SERVER].size > 0, true
want 'reset_stats', mc.reset_stats, [true]
want 'flush_all', mc.flush_all, [true]
want 'get after it', mc.get('n'), nil
mc.close

if way == 'sasl'
  [%w[alice wrong], %w[nobody s3cret], ['alice', '']].each do |user, password|
    refuses('a wrong password', /^Error authenticating: 0x20/) do
      Dalli::Client.new(SERVER, OPTIONS.merge(username: user, password: password)).get('k')
    end
  end
  refuses('no password', /^Response error 32:/) { Dalli::Client.new(SERVER, OPTIONS).get('k') }
end
