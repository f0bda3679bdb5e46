// What the front does for an instance in which it has no right at all: ports, extensions, workspaces; and the login of a fresh installation.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { kinds } from '../browser/vsix.mjs';
import { Host } from './host.mjs';

describe('through the front', { timeout: 600_000 }, () => {
  let host, vm;
  const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();

  before(async () => {
    host = await Host.boot();
    vm = host.vm;
  });
  after(() => host?.end());

  test('a port of the instance, and no other one', async () => {
    await host.background('alice', 'cd /tmp && echo of alice >index.html && exec python3 -m http.server 3000 --bind 127.0.0.1');
    await host.until('the server is up', async () => (await host.fetch('alice', '/proxy/3000/')).status === 200);
    assert.equal(await (await host.fetch('alice', '/proxy/3000/')).text(), 'of alice\n');
    assert.equal(await (await host.fetch('alice', '/absproxy/3000/')).status, 404, 'the app sees the whole path, and has nothing there');
    await host.open('bob');
    const other = await host.fetch('bob', '/proxy/3000/');
    assert.deepEqual([other.status, (await other.json()).error.code], [502, 'port_unreachable']);
    // ssh listens on the host, and so does the front itself.
    for (const port of [22, 8080]) assert.notEqual((await host.fetch('bob', `/proxy/${port}/`)).status, 200, String(port));
  });

  test('an extension is installed, listed and removed, by the tenant itself', async () => {
    const api = '/api/v1/code/extensions';
    const installed = await host.fetch('bob', api, { method: 'POST', body: kinds.container(), headers: { 'Content-Type': 'application/octet-stream' } });
    assert.equal(installed.status, 200, await installed.text());
    const own = async () => (await (await host.fetch('bob', api)).json()).filter?.(({ built_in: builtIn }) => !builtIn)?.map(({ id }) => id);
    assert.deepEqual(await own(), ['hoody-test.container']);
    const uid = await out('stat -c %u /data/instances/bob');
    assert.equal(await out('stat -c %u /data/instances/bob/.hoody-code/extensions/hoody-test.container-1.0.0'), uid);
    assert.equal((await host.fetch('bob', `${api}/hoody-test.container`, { method: 'DELETE' })).status, 200);
    assert.deepEqual(await own(), []);
    const nonsense = await host.fetch('bob', api, { method: 'POST', body: 'no zip', headers: { 'Content-Type': 'application/octet-stream' } });
    assert.equal(nonsense.status, 400);
  });

  test('what VS Code remembers of a workspace is put right by the tenant itself', async () => {
    const content = '{"folders":[{"path":"project"}]}';
    await host.inside('alice', `echo -n '${content}' >~/x.code-workspace`);
    assert.equal((await host.fetch('alice', '/?workspace=/home/user/x.code-workspace')).status, 200);
    const found = await out('find /data/instances/alice/.hoody-code/user-data/User/caches -name workspace.json -uid $(stat -c %u /data/instances/alice) -exec cat {} +');
    assert.deepEqual(JSON.parse(found), { content });
  });

  test('a fresh installation asks for the password that it has made', async () => {
    await vm.sh('systemctl stop hoody-code; echo >/etc/hoody-code/config.toml; rm -rf /var/lib/hoody-code/auth');
    const page = await host.fetch('alice', '/?ew=1', { headers: { Accept: 'text/html' } });
    assert.deepEqual([page.status, page.headers.get('location')], [303, './login?to=%3Few%3D1']);
    assert.equal(await out('stat -c %a:%U /var/lib/hoody-code/auth/password'), '600:hoody-code');
    const password = (await vm.read('/var/lib/hoody-code/auth/password')).trim();
    assert.ok(password.length >= 12);
    // The journal is read by more people than the file: it says where the password is, and not what.
    const said = JSON.stringify(await vm.journal('-u hoody-code'));
    assert.ok(said.includes('/var/lib/hoody-code/auth/password') && !said.includes(password));
    const send = (text) => host.fetch('alice', '/api/v1/code/login', { method: 'POST', body: JSON.stringify({ password: text }), headers: { 'Content-Type': 'application/json' } });
    assert.equal((await send('wrong')).status, 401);
    const answer = await send(password);
    assert.equal(answer.status, 200);
    const cookie = answer.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
    const state = async () => (await host.fetch('alice', '/api/v1/code/status', { headers: { Cookie: cookie } })).status;
    assert.equal(await state(), 200);
    await vm.sh('systemctl restart hoody-code');
    assert.equal(await state(), 200, 'a session outlives a restart');
    await vm.sh('hoody-code sessions revoke alice');
    assert.equal(await state(), 401);
  });
});
