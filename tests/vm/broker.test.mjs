// The border: what a front that strangers have taken over can get from the broker, and what a hostile tenant can do to the front.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Host } from './host.mjs';

const guest = path.join(path.dirname(fileURLToPath(import.meta.url)), 'guest');

/** As packets are written in the tests: text, sent as latin-1. */
const packet = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

const CONFIG = '[log]\nlevel = "info,hoody_code::broker=debug"\n';

describe('the border', { timeout: 600_000 }, () => {
  let host, vm, uid;
  const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();

  before(async () => {
    // Looking changes nothing and is recorded only when asked for; here every decision is counted.
    host = await Host.boot({ config: CONFIG });
    vm = host.vm;
    await vm.put(['stolen_front.py', 'fake_agent.py'].map((name) => path.join(guest, name)), '/usr/local/lib');
    await host.open('alice');
    uid = Number(await out('id -u hoody-code'));
  });
  after(() => host?.end());

  /** Runs one scenario of guest/stolen_front.py. */
  const steal = async (scenario, { as = 'hoody-code', ...options } = {}) =>
    JSON.parse((await vm.sh(`exec python3 -S /usr/local/lib/stolen_front.py ${scenario}`, { as, ...options })).stdout);
  const send = (packets, options) => steal('packets', { input: packets.map((one) => `${JSON.stringify(packet(one))}\n`).join(''), ...options });

  /** What the broker could have changed, or left behind. */
  const traces = () => out(`for unit in hoody-code-broker ssh dbus; do systemctl show -P MainPID $unit; done
    ls /proc/$(systemctl show -P MainPID hoody-code-broker)/fd | wc -l
    systemctl list-units --all --plain --no-legend 'hoody*' 'stolen*' | awk '{print $1, $3}' | sort
    find /run/hoody-code /run/hoody-code-broker /run/userdb /var/lib/hoody-code-broker /data -maxdepth 2 | sort`);
  /** Waits until what the broker holds for a moment is gone. */
  const settled = async (wanted) => {
    let now;
    const look = async () => (now = await traces()) === wanted;
    await host.until('the broker is as it was', look).catch(() => assert.equal(now, wanted));
  };
  /** The broker's records on requests since `cursor`. */
  const audit = async (cursor) => (await vm.journal(['SYSLOG_IDENTIFIER=hoody-code-broker', `--after-cursor=${cursor}`])).filter((entry) => entry.HOODY_VERB);
  const cursor = async () => (await out('journalctl --sync; journalctl -q -n1 -o cat --show-cursor | tail -n1')).replace('-- cursor: ', '');

  let beginning;
  test('half-open: a client that says nothing holds up nobody, and is hung up on', async (t) => {
    beginning = await traces();
    const silent = steal('half_open', { timeout: 120_000 });
    silent.catch(() => {});
    await host.until('the broker has taken it', async () => (await traces()) !== beginning);
    assert.ok((await send([{ verb: 'show', id: 'alice' }]))[0][0].ok);
    const { said, seconds } = await silent;
    t.diagnostic(`after ${seconds.toFixed(1)} s`);
    assert.equal(said, 'closed');
    assert.ok(seconds > 5 && seconds < 60, `after ${seconds} s`);
    await settled(beginning);
  });

  test('what is no request is refused, hung up on, and leaves one record each', async () => {
    const began = await traces();
    const start = (id, more) => ({ verb: 'start', id, ...more });
    const refused = [
      ...['../../etc', '..', '.', '/', 'a/b', 'a/../b', '/etc/passwd', 'Alice', 'ALICE', 'x'.repeat(64), 'x'.repeat(150), 'a\0b', 'alice\0', 'ä', '\u00e9',
        'a b', 'a\n', '-a', 'a-', '', 'a.service', 'a@b', 'ssh.service', 'alice.service', '%i', 'a%2fb', '$(id)', ';id', 'a\\x2db'].map((id) => start(id)),
      ...['exec', 'START', 'start ', '', 'shell', 'start_transient', 'set_properties'].map((verb) => ({ verb, id: 'alice' })),
      start('alice', { uid: 0 }), start('alice', { argv: ['/bin/sh'] }), start('alice', { class: 'x' }), start('alice', { Id: 'b' }), start('alice', { verb2: 'stop' }),
      { verb: 'list', after: '../x' }, { verb: 'reclaim', id: 'alice', bytes: -1 }, { verb: 'reclaim', id: 'alice', bytes: 1e300 },
      { verb: 'reclaim', id: 'alice', bytes: '1' }, { verb: ['start'], id: 'alice' }, { verb: 'start', id: ['alice'] }, { verb: 'start', id: { a: 1 } },
      { verb: 'start', id: null }, { verb: 'start', id: 7 }, { verb: 'start' }, { id: 'alice' }, {}, [], 'null', '1', '"start"', 'start alice', '{', '\xff\xfe\x00',
      '['.repeat(200), `{"verb":"start","verb":"stop","id":"alice"}`, '{"verb":"start","id":"alice","id":"bob"}', '{"verb":"start","id":"alice"}{"verb":"reload"}',
      '{"verb":"start","id":"\\ud800"}', '{"verb":"start","id":"ali\\u0000ce"}', '{"verb":"reload","id":"alice"}',
    ];
    const from = await cursor();
    const answers = await send(refused, { timeout: 90_000 });
    for (const [index, [reply, then]] of answers.entries()) {
      assert.equal(reply?.refused?.code, 'malformed', `${packet(refused[index])} gets ${JSON.stringify(reply)}`);
      assert.equal(then, 'closed', `${packet(refused[index])}: no hanging up`);
    }
    assert.equal(answers.length, refused.length);
    const records = await audit(from);
    assert.equal(records.length, refused.length);
    for (const record of records) {
      assert.deepEqual([record.HOODY_VERB, record.HOODY_OUTCOME, record.HOODY_PEER, record.PRIORITY], ['none', 'refused', String(uid), '4']);
    }
    await settled(began);
  });

  test('names of units that are not ours reach nothing', async () => {
    const began = await traces();
    const verbs = ['stop', 'freeze', 'thaw', 'connect', 'show', 'remove', 'purge'];
    const ids = ['ssh', 'dbus', 'systemd-journald', 'hoody-code', 'hoody-code-broker', 'init'];
    const requests = [...ids.flatMap((id) => verbs.map((verb) => ({ verb, id }))), ...ids.map((id) => ({ verb: 'reclaim', id, bytes: 1 << 20 }))];
    const from = await cursor();
    const answers = await send(requests, { timeout: 90_000 });
    for (const [index, [reply]] of answers.entries()) assert.equal(reply.refused?.code, 'not_found', `${packet(requests[index])}: ${JSON.stringify(reply)}`);
    const records = await audit(from);
    const said = (list) => list.map(([verb, instance]) => `${verb} ${instance}`).sort();
    assert.deepEqual(said(records.map((record) => [record.HOODY_VERB, record.HOODY_INSTANCE])), said(requests.map(({ verb, id }) => [verb, id])));
    for (const record of records) assert.match(record.HOODY_OUTCOME, /^(refused|not found)$/);
    await settled(began);
  });

  test('what is done leaves one record each, too', async () => {
    const began = await traces();
    const requests = [
      ...['show', 'freeze', 'thaw', 'start', 'connect'].map((verb) => ({ verb, id: 'alice' })),
      { verb: 'reclaim', id: 'alice', bytes: 4096 }, { verb: 'list', after: null }, { verb: 'reload' },
    ];
    const from = await cursor();
    const answers = await send(requests);
    for (const [index, [reply]] of answers.entries()) assert.ok(reply.ok, `${packet(requests[index])}: ${JSON.stringify(reply)}`);
    // The front's own questions have records as well, but these are of verbs that it does not use here.
    const records = (await audit(from)).map((record) => [record.HOODY_VERB, record.HOODY_INSTANCE, record.HOODY_OUTCOME, record.HOODY_PEER]);
    assert.deepEqual(records, requests.map(({ verb, id }) => [verb, id, 'done', String(uid)]));
    await settled(began);
  });

  test('packets of all sizes: what is too large is hung up on', async () => {
    const began = await traces();
    const from = await cursor();
    assert.deepEqual(await steal('sizes'), { 0: 'closed', 256: { ok: 'done' }, 257: 'closed', 65536: 'closed', 1048576: 'closed' });
    // An empty packet is the same as hanging up: there is nothing to decide.
    const records = (await audit(from)).map((record) => [record.HOODY_VERB, record.HOODY_OUTCOME]);
    assert.deepEqual(records, [['reload', 'done'], ...Array(3).fill(['none', 'refused'])]);
    await settled(began);
  });

  test('descriptors with a packet, foreign and replayed ones, are refused and not kept', async () => {
    const began = await traces();
    const refused = [{ refused: { code: 'malformed', message: 'malformed request: a descriptor came with it' } }, 'closed'];
    const from = await cursor();
    const results = await steal('descriptors alice');
    // Of 300 descriptors the broker never hears.
    const records = await audit(from);
    assert.deepEqual([records.filter((record) => record.HOODY_OUTCOME === 'refused').length, records.length], [25, 26]);
    assert.deepEqual(results['1'], refused);
    assert.deepEqual([results['2'], results['253']], [['closed', null], ['closed', null]]);
    assert.deepEqual(results['300'], ['Invalid argument', null], 'the kernel itself passes 253 at most');
    assert.deepEqual(results.connect, [{ ok: 'done' }, true]);
    assert.deepEqual(results.replayed, Array(20).fill(refused));
    assert.deepEqual([results.own, results.cycle], [refused[0], refused]);
    await settled(began);
  });

  test('requests that are sent ahead are answered in their order', async () => {
    const [ids, replies] = await steal('pipelined');
    assert.deepEqual(replies, ids.map((id) => `there is no instance ${id}`));
  });

  test('a thousand connections at once, and others are served afterwards', async () => {
    const began = await traces();
    const { connected, then } = await steal('crowd');
    assert.equal(connected, 1000);
    assert.equal(then.refused.code, 'not_found');
    await host.open('alice');
    await settled(began);
  });

  test('only root and the front may ask: by the mode of the socket, and by who they are', async () => {
    const began = await traces();
    const show = { verb: 'show', id: 'alice' };
    assert.equal(await out('stat -c %a:%U:%G /run/hoody-code/broker.sock'), '660:hoody-code:hoody-code-broker');
    for (const as of ['nobody', 'hc-alice']) await assert.rejects(send([show], { as }), /PermissionError/, as);
    assert.ok((await send([show], { as: 'root' }))[0][0].ok);
    await vm.sh('chmod 0666 /run/hoody-code/broker.sock');
    try {
      for (const as of ['nobody', 'hc-alice', 'daemon']) {
        const from = await cursor();
        const [[reply, then]] = await send([{ verb: 'stop', id: 'alice' }], { as });
        const stranger = Number(await out(`id -u ${as}`));
        assert.deepEqual([reply.refused.message, then], [`user ${stranger} may not ask for anything`, 'closed']);
        assert.deepEqual((await audit(from)).map((record) => [record.HOODY_VERB, record.HOODY_OUTCOME, record.HOODY_PEER]), [['none', 'refused', String(stranger)]]);
      }
    } finally {
      await vm.sh('chmod 0660 /run/hoody-code/broker.sock');
    }
    await settled(began);
  });

  test('the bus does nothing for the front', async () => {
    const began = await traces();
    for (const [what, [code, said]] of Object.entries(await steal('bus'))) {
      assert.notEqual(code, 0, what);
      assert.match(said, /authentication required|Access denied|Permission denied/i, what);
    }
    await vm.sh('! test -e /stolen-root');
    await settled(began);
  });

  test('from inside its unit, the front sees no homes, no accounts, no processes but its own, no network and no bus', async () => {
    const began = await traces();
    // The very unit, with another program.
    await vm.sh(`sed -e 's/^Type=.*/Type=oneshot/' -e '/^\\(WatchdogSec\\|Sockets\\|Restart\\|ExecReload\\|Requires\\|StateDirectory\\)/d' \
      -e 's|^ExecStart=.*|ExecStart=/usr/bin/python3 -S /usr/local/lib/stolen_front.py sandbox alice\\nStandardOutput=truncate:/run/stolen.json|' \
      /usr/lib/systemd/system/hoody-code.service >/run/systemd/system/stolen.service; systemctl daemon-reload; systemctl start stolen`);
    const seen = JSON.parse(await vm.read('/run/stolen.json'));
    await vm.sh('rm /run/systemd/system/stolen.service /run/stolen.json; systemctl daemon-reload');
    for (const [place, found] of Object.entries(seen.paths)) assert.match(String(found), /^(Permission denied|No such file or directory)$/, `${place}: ${found}`);
    assert.deepEqual([seen.owners, seen.inet.every((said) => /not supported/.test(said))], [[true], true]);
    const { '/var/tmp/x': own, ...others } = seen.write;
    assert.equal(own, 'written', 'of its own');
    for (const [place, said] of Object.entries(others)) assert.notEqual(said, 'written', place);
    for (const [what, [code]] of Object.entries(seen.bus)) assert.notEqual(code, 0, what);
    assert.equal(seen.broker.refused.code, 'not_found', 'the broker, however, is there');
    await settled(began);
  });

  describe('a hostile agent', () => {
    const fake = (id, words = '') => vm.write(`/etc/systemd/system/hoody-code-instance@${id}.service.d/fake.conf`,
      `[Service]\nExecStart=\nExecStart=/usr/bin/python3 -S /usr/local/lib/fake_agent.py ${words}\n`);
    /** The front's process, what it holds open, and how many sockets: it keeps a few connections for the next question. */
    const front = async () => {
      const pid = await out('systemctl show -P MainPID hoody-code');
      const open = (await out(`find /proc/${pid}/fd -type l -printf '%l\\n' | sort`)).split('\n');
      return { pid, files: open.filter((name) => !name.startsWith('socket:')), sockets: open.filter((name) => name.startsWith('socket:')).length };
    };
    /** What two looks in a row see: the files that it writes now and then are open for a moment. */
    const same = async (look) => {
      let last;
      return host.until('it stays as it is', async () => {
        const [before, now] = [last, await look()];
        last = now;
        return before && JSON.stringify(before.files) === JSON.stringify(now.files) && now;
      });
    };
    const ask = async () => {
      const response = await host.fetch('mallory', '/callback', { deadline: 60_000 });
      return [response.status, await response.text()];
    };

    test('answers nonsense and passes strange things: the front says 502 and stays as it is', async () => {
      await fake('mallory');
      await vm.sh('systemctl daemon-reload');
      assert.deepEqual(await ask(), [200, 'hello']);
      const before = await same(front);
      const modes = ['nonsense', 'no-json', 'directory-answer', 'ended-answer', 'failed', 'huge', 'empty', 'deep', 'close', 'none', 'directory', 'file', 'path', 'pipe',
        'eventfd', 'epoll', 'listening', 'unconnected', 'dgram', 'seqpacket', 'netlink', 'two', 'many', 'garbage', 'endless-head', 'silent'];
      for (const mode of modes) {
        await vm.sh(`echo ${mode} >/data/instances/mallory/mode`);
        const [status, text] = await ask();
        assert.deepEqual([mode, status, JSON.parse(text).error.code], [mode, 502, 'instance_failed']);
      }
      await vm.sh('rm /data/instances/mallory/mode');
      assert.deepEqual(await ask(), [200, 'hello'], 'and all is well again when it behaves');
      await host.open('alice');
      const { sockets, ...now } = await same(front);
      assert.deepEqual(now, { pid: before.pid, files: before.files });
      assert.ok(sockets <= before.sockets + 6, `${before.sockets} sockets have become ${sockets}`);
    });

    test('lies about its end: what it says is shown as text, to its owner', async () => {
      await vm.sh('echo ended >/data/instances/mallory/mode');
      await host.state('mallory', 'failed');
      const page = await (await host.fetch('mallory', '/api/v1/code/events', { headers: { accept: 'text/event-stream' } })).body.getReader().read();
      assert.match(Buffer.from(page.value).toString(), /<b>status<\/b>/);
      await vm.until('! systemctl is-active --quiet hoody-code-instance@mallory');
    });

    test('never gives the engine: the start fails in time, and nothing of it is left', async () => {
      await fake('liar', 'nonsense');
      await vm.sh('systemctl daemon-reload');
      await host.configure(`${CONFIG}[instances]\nstart_timeout = "3s"\n`);
      const response = await host.fetch('liar', '/callback', { deadline: 60_000 });
      assert.deepEqual([response.status, (await response.json()).error.code], [504, 'instance_start_timeout']);
      await vm.until('! systemctl is-active --quiet hoody-code-instance@liar');
      await host.configure(CONFIG);
      await host.open('alice');
    });
  });

  test('after all that, the broker is the same process and holds what it held; nothing is left', async () => {
    for (const id of ['mallory', 'liar']) assert.deepEqual(await host.broker({ verb: 'purge', id }), { ok: 'done' });
    await settled(beginning);
    await host.open('alice');
  });
});
