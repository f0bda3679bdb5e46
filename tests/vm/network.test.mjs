// Networks of instances, seen from inside: out through the bridge, to no service of the host's, to no neighbour, to no cloud's metadata;
// classes with less and with more. What is "outside" here is a network namespace beyond the host: no real network is needed.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host } from './host.mjs';

const OUTSIDE = '198.51.100.2';
const CONFIG = `
[network]
dns = ["${OUTSIDE}"]
refuse = ["203.0.113.0/24"]
[class.exam]
network = "none"
[class.trusted]
network = "host"
[instance.erin]
class = "exam"
[instance.henry]
class = "trusted"
`;

/** A resolver that knows one name, and a web server. */
const SERVER = `
import http.server, socket, threading
def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 53))
    while True:
        q, who = s.recvfrom(512)
        end = q.index(b"\\0", 12) + 5
        known = q[12:end - 5] == b"\\7example\\4test" and q[end - 4:end - 2] == b"\\0\\1"
        head = q[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83") + b"\\0\\1" + (b"\\0\\1" if known else b"\\0\\0") + b"\\0\\0\\0\\0"
        answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + socket.inet_aton("${OUTSIDE}") if known else b""
        s.sendto(head + q[12:end] + answer, who)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(("outside sees " + self.client_address[0]).encode())
threading.Thread(target=names, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Answer).serve_forever()
`;

describe('networks', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot({ config: CONFIG });
    await host.vm.sh(`ip netns add out; ip link add vout type veth peer name eth0 netns out
      ip address add 198.51.100.1/24 dev vout; ip link set vout up
      ip -n out address add ${OUTSIDE}/24 dev eth0; ip -n out link set eth0 up; ip -n out link set lo up
      for a in 169.254.169.254 203.0.113.9; do ip -n out address add $a/32 dev lo; ip route add $a via ${OUTSIDE}; done`);
    await host.vm.write('/root/outside.py', SERVER);
    await host.vm.sh(`systemd-run -q --unit=outside -p NetworkNamespacePath=/run/netns/out python3 /root/outside.py
      systemd-run -q --unit=service python3 -m http.server --bind 0.0.0.0 --directory /usr/share/doc 9999`);
    await host.vm.until(`curl -sf http://${OUTSIDE}/ && curl -sf http://127.0.0.1:9999/`);
    for (const id of ['alice', 'bob', 'erin', 'henry']) await host.probe(id);
  });
  after(() => host?.end());
  const say = async (id, script, options) => (await host.inside(id, script, options)).stdout.trim();
  const curl = 'curl -sS -o /dev/null --max-time 2';

  test('outside is reached, under the host\'s address, and names are resolved', async () => {
    assert.equal(await say('alice', 'curl -sS --max-time 10 http://example.test/'), 'outside sees 198.51.100.1');
    assert.match(await say('alice', 'getent hosts example.test'), /^198\.51\.100\.2 /);
    assert.equal((await host.inside('alice', 'getent hosts nobody.test', { check: false })).code, 2);
  });

  test('the host\'s services are not reached on any of its addresses', async () => {
    const addresses = (await host.vm.sh("ip -o addr show | awk '{print $4}' | cut -d/ -f1")).stdout.trim().split('\n');
    assert.ok(addresses.includes('10.213.0.1') && addresses.includes('198.51.100.1') && addresses.includes('10.0.2.15'), addresses.join());
    const urls = addresses.filter((address) => !address.startsWith('127.') && address !== '::1')
      .map((address) => `http://${address.includes(':') ? `[${address}]` : address}:9999/`);
    for (const url of urls.filter((url) => !url.includes('['))) await host.vm.sh(`${curl} ${url}`); // somebody is there
    const tries = urls.map((url) => `if ${curl} '${url}' 2>/dev/null; then echo '${url}'; fi &`).join('\n');
    assert.equal(await say('alice', `${tries}\nwait`), '');
    // Its own loopback has nothing of the host's either.
    for (const port of [22, 8080, 9999]) assert.notEqual((await host.inside('alice', `${curl} http://127.0.0.1:${port}/`, { check: false })).code, 0);
  });

  test('no metadata service, and nothing the operator refuses', async () => {
    await Promise.all(['169.254.169.254', '203.0.113.9'].map(async (address) => {
      await host.vm.sh(`${curl} http://${address}/`);
      assert.notEqual((await host.inside('alice', `${curl} http://${address}/`, { check: false })).code, 0, address);
    }));
  });

  test('no neighbour, and no way in from the host or from outside', async () => {
    await host.background('bob', 'python3 -m http.server --bind 0.0.0.0 7778');
    const address = await say('bob', "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1");
    await say('bob', `until ${curl} http://${address}:7778/ 2>/dev/null; do :; done`);
    await host.vm.sh('ip -n out route add 10.213.0.0/16 via 198.51.100.1');
    const url = `http://${address}:7778/`;
    assert.notEqual((await host.inside('alice', `${curl} ${url}`, { check: false })).code, 0);
    await Promise.all([`${curl} ${url}`, `ip netns exec out ${curl} ${url}`].map((script) => assert.rejects(host.vm.sh(script), /exit status (7|28)/)));
    // The front gets in, by way of the agent, to that instance's own.
    assert.deepEqual(await host.agent('bob', { ask: 'port', port: 7778 }), { answer: 'connected' });
    assert.equal((await host.agent('alice', { ask: 'port', port: 7778 })).answer, 'failed');
  });

  test('somebody else\'s address is of no use', async () => {
    const { code } = await host.inside('alice', 'ip address add 10.213.0.200/16 dev eth0', { check: false });
    assert.notEqual(code, 0);
  });

  test('class with no network: only its own loopback', async () => {
    assert.equal(await say('erin', "ip -o link | awk '{print $2}'"), 'lo:');
    assert.equal(await say('erin', 'ip route; ip -6 route show table main'), '');
    assert.notEqual((await host.inside('erin', `${curl} http://${OUTSIDE}/`, { check: false })).code, 0);
    await host.inside('erin', `python3 -m http.server --bind 127.0.0.1 7000 >/dev/null 2>&1 & p=$!
      until ${curl} http://127.0.0.1:7000/ 2>/dev/null; do :; done; kill $p`);
  });

  test('class with the host\'s network: it is the host\'s', async () => {
    const links = "ip -o link | awk '{print $2}' | grep -v ^vec0- | sort";
    const ours = async () => (await host.vm.sh('readlink /proc/1/ns/net')).stdout;
    assert.equal((await host.vm.sh(`readlink /proc/${await (await host.open('henry'), host.pid('henry'))}/ns/net`)).stdout, await ours());
    assert.match(await say('henry', links), /hoody0/);
    await host.inside('henry', `${curl} http://127.0.0.1:9999/`);
    // A port there is the host's, not the tenant's: the front is not let in by way of it.
    assert.deepEqual(await host.agent('henry', { ask: 'port', port: 9999 }), { answer: 'not_yours' });
  });

  test('what is refused from now on is refused to those who run', async () => {
    const web = async () => (await host.inside('alice', `${curl} http://${OUTSIDE}/`, { check: false })).code === 0;
    assert.equal(await web(), true);
    await host.configure(CONFIG.replace('203.0.113.0/24"', '203.0.113.0/24", "198.51.100.0/24"'));
    await host.until('it is refused', async () => !(await web()));
    await host.configure(CONFIG);
    await host.until('it is not', web);
  });

  test('more connections than one may have are refused to it, and to nobody else', async () => {
    const web = async (id) => (await host.inside(id, `${curl} http://${OUTSIDE}/`, { check: false })).code;
    const tracked = async () => Number(await host.vm.read('/proc/sys/net/netfilter/nf_conntrack_count'));
    const most = Number(/ct count over (\d+)/.exec((await host.vm.sh('nft list table inet hoody_code_counts')).stdout)[1]);
    assert.ok(Number(await host.vm.read('/proc/sys/net/netfilter/nf_conntrack_max')) > 2 * most);
    assert.deepEqual([await web('alice'), await web('bob')], [0, 0]);
    const flood = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1024, 1024 + ${most} + 2000):
    try: s.sendto(b"x", ("${OUTSIDE}", port))
    except OSError: pass`;
    // They are forgotten by the clock, and shall not be before all was looked at.
    const forgotten = (seconds) => host.vm.sh(`sysctl -qw net.netfilter.nf_conntrack_udp_timeout=${seconds}`);
    await forgotten(300);
    await host.inside('alice', `python3 -c '${flood}'`);
    const count = await tracked();
    assert.ok(count > most / 2 && count < most + 500, `${count} of ${most}`);
    assert.equal(await web('alice'), 7, 'refused at once');
    assert.equal(await web('bob'), 0);
    await host.vm.sh('systemctl reload hoody-code-network');
    assert.equal(await web('alice'), 7, 'also after the rules are loaded anew, as each start does');
    await forgotten(1);
    await host.inside('alice', `python3 -c '${flood}'`);
    await host.until('it may again', async () => (await web('alice')) === 0, { deadline: 120_000 });
  });

  test('rules that somebody flushes come back; the host\'s own firewall starts, stops and reloads under what runs', async () => {
    const reaches = async (url) => (await host.inside('alice', `${curl} ${url}`, { check: false })).code === 0;
    const [hosts, outside] = ['http://10.213.0.1:9999/', `http://${OUTSIDE}/`];
    const held = async (what) => assert.deepEqual([await reaches(hosts), await reaches(outside)], [false, true], what);
    await host.open('alice');
    const engine = await host.engine('alice');
    await held('at first');
    await host.vm.sh('nft flush ruleset');
    assert.equal(await reaches(hosts), true, 'what the rules are for');
    await host.vm.sh('systemctl reload hoody-code-network');
    await held('after the reload that the documents tell');
    const loaded = async () => (await host.vm.sh('systemctl is-active -q hoody-code-network && nft list table inet hoody_code', { check: false })).stdout !== '';
    assert.equal((await host.vm.sh('systemctl is-active nftables', { check: false })).stdout.trim(), 'inactive');
    await host.vm.sh('systemctl start nftables');
    await host.until('rules after the firewall\'s first start', loaded);
    await held('after the firewall\'s first start');
    for (const verb of ['reload', 'restart']) {
      await host.vm.sh(`systemctl ${verb} nftables`);
      await host.vm.until('nft list table inet hoody_code && systemctl is-active hoody-code-network');
      await held(`after a ${verb} of the firewall`);
    }
    await host.vm.sh('systemctl stop nftables');
    await host.vm.until('systemctl show -P ActiveState hoody-code-network | grep -qx inactive');
    assert.deepEqual([await reaches(hosts), await reaches(outside)], [false, false], 'without rules there is no network');
    await host.vm.sh('systemctl start hoody-code-network');
    await held('when it is back');
    assert.equal(await host.engine('alice'), engine);
  });
});
