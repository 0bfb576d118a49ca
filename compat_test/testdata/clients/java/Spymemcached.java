// spymemcached, a client for Java that has many requests under way in one connection, in either protocol.
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.ConnectionFactoryBuilder.Protocol;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.transcoders.SerializingTranscoder;

public class Spymemcached {
    static InetSocketAddress server;
    static boolean text;

    static void want(String what, Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            fail(what + ": " + show(got) + ", want " + show(wanted));
        }
    }

    static void fail(String why) {
        System.err.println(why);
        System.exit(1);
    }

    static String show(Object o) {
        String s = String.valueOf(o);
        return s.length() > 200 ? s.substring(0, 200) : s;
    }

    static void refuses(String what, Callable<Object> say) {
        Object got;
        try {
            got = say.call();
        } catch (Exception e) {
            return;
        }
        fail(what + ": " + show(got) + ", want an exception");
    }

    static void passes(int seconds) throws Exception { // lets the test move the server's clock
        System.out.println("pass " + seconds);
        System.in.read();
    }

    static MemcachedClient connect(String user, String password, long patience) throws Exception {
        SerializingTranscoder transcoder = new SerializingTranscoder(1 << 25);
        transcoder.setCompressionThreshold(1 << 25);
        ConnectionFactoryBuilder b = new ConnectionFactoryBuilder().setDaemon(true).setOpTimeout(patience)
            .setTranscoder(transcoder).setProtocol(text ? Protocol.TEXT : Protocol.BINARY);
        if (user != null) {
            b.setAuthDescriptor(new AuthDescriptor(new String[] {"PLAIN"}, new PlainCallbackHandler(user, password)));
        }
        return new MemcachedClient(b.build(), List.of(server));
    }

    public static void main(String[] args) throws Exception {
        Logger.getLogger("net.spy").setLevel(Level.OFF);
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        server = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        text = args[2].equals("text");
        boolean sasl = args[2].equals("sasl");
        MemcachedClient mc = sasl ? connect("alice", "s3cret", 20_000) : connect(null, null, 20_000);
        byte[] raw = new byte[256];
        for (int i = 0; i < raw.length; i++) {
            raw[i] = (byte) i;
        }

        for (Object value : new Object[] {"", "x", raw, "a\r\nEND\r\nVALUE x 0 1\r\n", "grüße", 42, 1.5, true, List.of(1, 2)}) {
            want("set", mc.set("k", 0, value).get(), true);
            want("get", mc.get("k"), value);
        }
        want("get of nothing", mc.get("nobody"), null);
        for (String key : new String[] {"k".repeat(250), "ké😀"}) {
            want("set", mc.set(key, 0, "v").get(), true);
            want("get", mc.get(key), "v");
        }

        want("add to something", mc.add("k", 0, "x").get(), false);
        want("add", mc.add("n1", 0, "x").get(), true);
        want("replace nothing", mc.replace("n2", 0, "x").get(), false);
        want("replace", mc.replace("n1", 0, "b").get(), true);
        want("append", mc.append("n1", "c\0").get(), true);
        want("prepend", mc.prepend("n1", "a").get(), true);
        want("all of it", mc.get("n1"), "abc\0");
        want("append to nothing", mc.append("n2", "x").get(), false);

        CASValue<Object> old = mc.gets("n1");
        want("cas", mc.cas("n1", old.getCas(), "mine"), CASResponse.OK);
        want("cas again", mc.cas("n1", old.getCas(), "theirs"), CASResponse.EXISTS);
        want("who won", mc.get("n1"), "mine");
        want("cas of nothing", mc.cas("n2", old.getCas(), "x"), CASResponse.NOT_FOUND);

        want("incr of nothing", mc.incr("n", 7L), -1L);
        want("incr of nothing begins a count", mc.incr("n", 7L, 35L), 35L);
        want("incr", mc.incr("n", 7L), 42L);
        want("decr", mc.decr("n", 3L), 39L);
        want("decr below 0", mc.decr("n", 100L), 0L);
        want("incr far", mc.incr("n", Long.MAX_VALUE), Long.MAX_VALUE);
        want("get it", mc.get("n"), String.valueOf(Long.MAX_VALUE));
        if (text) {
            refuses("incr of a word", () -> mc.asyncIncr("n1", 1L).get());
        } else {
            want("incr of a word", mc.asyncIncr("n1", 1L).get(), -1L);
        }

        Map<String, Object> many = new HashMap<>();
        List<Future<Boolean>> replies = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            many.put("many" + i, "v" + i);
            replies.add(mc.set("many" + i, 0, "v" + i));
        }
        for (Future<Boolean> reply : replies) {
            want("set many", reply.get(), true);
        }
        List<String> keys = new ArrayList<>(many.keySet());
        keys.add("nobody");
        want("get many", mc.getBulk(keys), many);
        for (int i = 0; i < 500; i++) {
            want("delete many", mc.delete("many" + i).get(), true);
        }
        want("half of them", mc.getBulk(keys).size(), 500);
        want("delete again", mc.delete("many0").get(), false);

        byte[] large = new byte[512_000];
        for (int i = 0; i < large.length; i++) {
            large[i] = (byte) (i * i >> 3);
        }
        want("set large", mc.set("large", 0, large).get(), true);
        want("get large", mc.get("large"), large);
        if (text) {
            refuses("too large", () -> mc.set("large", 0, new byte[1 << 20]).get());
        } else {
            want("too large", mc.set("large", 0, new byte[1 << 20]).get(), false);
        }
        want("what was there before", mc.get("large"), null);

        mc.set("short", 2, "s").get();
        mc.set("longer", 2, "l").get();
        mc.set("longest", 100, "l").get();
        want("touch", mc.touch("longer", 100).get(), true);
        want("touch nothing", mc.touch("nobody", 100).get(), false);
        if (!text) {
            want("gat", mc.getAndTouch("longest", 100).getValue(), "l");
            want("gat of nothing", mc.getAndTouch("nobody", 100), null);
        }
        want("not over", mc.get("short"), "s");
        passes(3);
        want("over", mc.getBulk("short", "longer", "longest"), Map.of("longer", "l", "longest", "l"));

        want("version", mc.getVersions().get(server).substring(0, 4), "1.6.");
        want("stats", Integer.parseInt(mc.getStats().get(server).get("curr_items")) > 0, true);
        want("stats settings", mc.getStats("settings").get(server).get("maxconns"), "1024");
        want("flush_all", mc.flush().get(), true);
        want("get after it", mc.get("n1"), null);
        mc.shutdown(20, TimeUnit.SECONDS);

        if (sasl) { // who is refused is never told: it tries again until its patience is over
            for (String[] who : new String[][] {{"alice", "wrong"}, {"nobody", "s3cret"}}) {
                refuses("a wrong password", () -> connect(who[0], who[1], 500).get("k"));
            }
            refuses("no password", () -> connect(null, null, 500).asyncGet("k").get(500, TimeUnit.MILLISECONDS));
        }
        System.exit(0);
    }
}
