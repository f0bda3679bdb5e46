// What an open editor lives through: the front and the broker restarted, killed, replaced; and what it does not: the operator's stop, a reboot.

import fs from 'node:fs';
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { picture, scene } from '../browser/support.mjs';
import { editorText, openFromExplorer, openTerminal, typeAtEnd, typeCommand, ready } from '../browser/workbench.mjs';
import { Host, stage } from './host.mjs';

/** How long an open editor may need to be itself again. */
const SECONDS = 30;

describe('survival', { timeout: 600_000 }, () => {
  let host, vm, page;
  const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();
  const home = (id, file) => `/data/instances/${id}/${file}`;
  /** What must not change as long as the instance lives: the unit's main process and the engine. */
  const life = async (id) => [await out(`systemctl show -P MainPID hoody-code-instance@${id}`), await host.engine(id)].map(Number);
  const front = () => out('systemctl show -P MainPID hoody-code');

  /** As host.status, on a new connection if the one that fetch keeps has been cut. */
  const status = (id) => host.until(`the status of ${id}`, () => host.status(id).catch(() => undefined));

  before(async () => {
    host = await Host.boot({ config: '[instances]\nabandoned_after = "20s"\n[page.settings]\n"security.workspace.trust.enabled" = false\n"files.autoSave" = "off"' });
    vm = host.vm;
    await vm.sh('systemctl enable -q hoody-code.service');
    await host.open('bob');
    await host.open('alice');
    await vm.sh(`install -d -o hc-alice -g hc-alice ${home('alice', 'project')}
      echo one | install -o hc-alice -g hc-alice /dev/stdin ${home('alice', 'project/notes.txt')}`);
  });
  after(() => host?.end());

  const address = () => `${host.url}/i/alice/?folder=/home/user/project`;

  test('an open editor goes on after restarts, kills and an upgrade of front and broker', scene({ start: false }, async ({ visit, directory }, t) => {
    page = await visit(address());
    let sockets = 0;
    page.on('websocket', () => (sockets += 1));
    // Requests that are cut, and the editor's words on it, are what this is about.
    page.watch.expect(/./);
    await page.evaluate(() => (globalThis.sameDocument = true));
    await openFromExplorer(page, 'notes.txt');
    await typeAtEnd(page, 'not saved');
    await openTerminal(page);
    await typeCommand(page, 'MARK=kept-$RANDOM-$RANDOM');

    let count = 0;
    /** What the terminal's shell says of itself now. */
    const shell = async (deadline = SECONDS * 1000) => {
      const file = home('alice', `s${(count += 1)}`);
      await typeCommand(page, `echo $$ $MARK . >~/s${count}`);
      return (await vm.until(`grep -x '.* [.]' ${file}`, { deadline })).stdout.trim();
    };
    // The first answer takes as long as a terminal does to come up beside a workbench that does the same.
    const said = await shell(60_000);
    assert.match(said, /^\d+ kept-\d+-\d+ [.]$/);
    const lives = async () => [...(await life('alice')), ...(await life('bob'))];
    const began = await lives();
    assert.ok(began.every((pid) => pid > 1), String(began));

    /** Goes through `event` and holds the editor to what it was. `cut`: whether its connections were. */
    const survives = async (what, cut, event) => {
      const before = sockets;
      const since = Date.now();
      await event();
      const took = Date.now() - since;
      if (cut) await host.until(`${what}: the editor connects again`, () => sockets >= before + 2, { deadline: SECONDS * 1000 });
      assert.equal(await shell(), said, `${what}: another shell`);
      t.diagnostic(`${what}: done within ${(took / 1000).toFixed(1)} s, the terminal answered ${((Date.now() - since - took) / 1000).toFixed(1)} s later`);
      assert.deepEqual(await lives(), began, `${what}: an instance was stopped`);
      assert.equal(await editorText(page), 'one\nnot saved', what);
      assert.equal(await page.locator('.tab.active.dirty').count(), 1, what);
      assert.equal(await page.locator('.monaco-dialog-box:visible').count(), 0, `${what}: there is a dialog`);
      assert.ok(await page.evaluate(() => globalThis.sameDocument), `${what}: the page was loaded again`);
      if (!cut) assert.equal(sockets, before, `${what}: the editor lost a connection`);
    };
    /** Ends a process of systemd's the hard way, and waits until there is another. */
    const kill = async (unit) => {
      const old = await out(`systemctl show -P MainPID ${unit}`);
      await vm.sh(`kill -9 ${old}`);
      await vm.until(`systemctl is-active -q ${unit}; test $(systemctl show -P MainPID ${unit}) != ${old}`);
    };
    const restart = (units) => vm.sh(`systemctl restart ${units}`, { timeout: 60_000 });

    await survives('the front restarted', true, () => restart('hoody-code'));
    await survives('the front killed', true, () => kill('hoody-code'));
    await survives('the broker restarted', false, () => restart('hoody-code-broker'));
    await survives('the broker killed', false, () => kill('hoody-code-broker'));
    await survives('both upgraded', true, async () => {
      stage(`${directory}/stage`);
      // As a package manager does it as well: the operator's configuration stays.
      fs.rmSync(`${directory}/stage/etc/hoody-code`, { recursive: true });
      // As a package manager does it: new files in the place of those that run.
      await vm.sh('rm /usr/bin/hoody-code /usr/bin/hoody-code-broker');
      await vm.install(`${directory}/stage`);
      await restart('hoody-code-broker hoody-code');
    });
    // Their number is known to the new ones: nothing was started twice, everything was taken over.
    assert.equal(await out("systemctl list-units --plain --no-legend 'hoody-code-instance@*' | wc -l"), '2');
    await picture(page, 'vm-survived');
    assert.equal(await vm.read(home('alice', 'project/notes.txt')), 'one\n', 'nothing was saved on the way');
  }));

  test('an idle clock goes on counting across a restart; one in use begins anew', scene({ start: false }, async ({ visit }) => {
    page = await visit(address());
    page.watch.expect(/./);
    assert.equal((await host.status('alice')).idle_seconds, null, 'somebody uses it');
    const before = (await host.status('bob')).idle_seconds;
    assert.ok(before >= 10, `bob has been idle for ${before} s`);
    // Looks are written down every few seconds.
    await vm.until('grep -q \'"alice":null\' /var/lib/hoody-code/state/idle.json');
    // Its connections end with the front, and it makes no new ones.
    await page.context().setOffline(true);
    const since = Date.now();
    const old = await front();
    await vm.sh(`kill -9 ${old}`);
    const [alice, bob] = [await status('alice'), await status('bob')];
    const passed = (Date.now() - since) / 1000;
    assert.notEqual(await front(), old);
    assert.ok(bob.idle_seconds >= before, `bob's clock went from ${before} to ${bob.idle_seconds}`);
    assert.ok(bob.idle_seconds <= before + passed + 60);
    assert.ok(alice.idle_seconds !== null && alice.idle_seconds <= passed, `alice has ${alice.idle_seconds} s after ${passed} s`);
    const next = await host.until('it counts', async () => {
      const { idle_seconds } = await status('bob');
      return idle_seconds > bob.idle_seconds && idle_seconds;
    });
    await vm.sh('systemctl restart hoody-code', { timeout: 60_000 });
    assert.ok((await status('bob')).idle_seconds >= next, 'and after a restart in good order');
    // The page that is offline was known to the front that was killed; its successors end what it has left, and not the rest.
    await vm.until('! pgrep -u hc-alice -f type=extensionHost', { deadline: 60_000 });
    await vm.sh('pgrep -u hc-alice -f type=ptyHost');
  }));

  test('an instance that the operator stops stays stopped, and says so', scene({ start: false }, async ({ visit, profile }) => {
    const open = await visit(address());
    open.watch.expect(/./);
    await open.evaluate(() => (globalThis.sameDocument = true));
    const cursor = (await out('journalctl --sync; journalctl -q -n1 -o cat --show-cursor | tail -n1')).replace('-- cursor: ', '');
    await vm.sh('systemctl stop hoody-code-instance@alice');
    const status = await host.state('alice', 'failed');
    assert.equal(status.cause.kind, 'stopped_by_operator');
    // The open tab tries again and again, and is told each time.
    const refused = async () => (await vm.journal(['HOODY_INSTANCE=alice', 'HOODY_STATUS=503', `--after-cursor=${cursor}`])).length >= 3;
    await host.until('the open tab tries to reconnect', refused, { deadline: 60_000 });
    assert.equal(await out('systemctl is-active hoody-code-instance@alice || true'), 'inactive');
    assert.equal((await host.status('alice')).state, 'failed');
    await picture(open, 'vm-stopped-open-tab');

    const fresh = await profile();
    fresh.watch.expect(/503/);
    const answer = await fresh.goto(address());
    assert.equal(answer.status(), 503);
    assert.match(await fresh.locator('h1').textContent(), /The editor was stopped/);
    await picture(fresh, 'vm-stopped-page');
    assert.equal(await out('systemctl is-active hoody-code-instance@alice || true'), 'inactive', 'a look at the page starts nothing');
    const api = await host.fetch('alice', '/callback');
    assert.deepEqual([api.status, (await api.json()).error.code], [503, 'instance_stopped']);

    await fresh.locator('button').click();
    await ready(fresh);
    await host.state('alice', 'running');
    await picture(fresh, 'vm-started-again');
    // The old tab finds an engine that does not know it, and opens itself again.
    await host.until('the old tab has reloaded by itself', () => open.evaluate(() => globalThis.sameDocument !== true).catch(() => false), { deadline: 90_000 });
    await ready(open);
    await picture(open, 'vm-started-again-old-tab');
  }));

  test('after a reboot an instance comes back with the next request, with its files', scene({ start: false }, async ({ visit }) => {
    await vm.sh(`echo kept | install -o hc-alice -g hc-alice /dev/stdin ${home('alice', 'project/kept.txt')}`);
    const uid = await out('id -u hc-alice');
    await vm.reboot();
    assert.equal(await out("systemctl list-units --plain --no-legend 'hoody-code-instance@*' | wc -l"), '0', 'nobody has asked for any');
    page = await visit(address());
    await openFromExplorer(page, 'kept.txt');
    assert.equal(await editorText(page), 'kept\n');
    assert.equal(await out('id -u hc-alice'), uid);
    assert.equal((await host.status('alice')).generation, 1);
    await picture(page, 'vm-rebooted');
  }));
});
