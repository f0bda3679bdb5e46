// Homes on a disk: on btrfs subvolumes, made from a template, limited, snapshotted, restored, moved and purged; on ext4 the same by copies.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host } from './host.mjs';

const MB = 2 ** 20;

const CONFIG = `
[class.small]
disk = "64M"
[class.course]
[instance.sam]
class = "small"
[instance.pia]
class = "course"
[instance.paul]
class = "course"
`;

const helpers = (host) => {
  const out = async (script, options) => (await host.vm.sh(script, options)).stdout.trim();
  const cli = (words, options) => host.vm.sh(`hoody-code instances ${words}`, { timeout: 120_000, ...options });
  const uid = (id) => out(`stat -c %u /data/instances/${id}`);
  const stop = (id) => cli(`stop ${id}`);
  return { out, cli, uid, stop };
};

/** Something like a course's: an extension of as many files as the engine's own, all of them together, and settings. */
const furnish = (host, id) => host.inside(id, `mkdir -p ~/.hoody-code/extensions ~/.hoody-code/user-data/User
  for all in $(find /usr/lib/hoody-code/engines -maxdepth 6 -type d -name extensions -not -path '*/node_modules/*' | head -1); do
    cp -r --no-preserve=mode $all ~/.hoody-code/extensions/course.ts-1.0.0; done
  echo '{"editor.fontSize": 21}' >~/.hoody-code/user-data/User/settings.json
  echo secret >~/.netrc; echo secret >~/.bash_history`);

describe('on btrfs', { timeout: 600_000 }, () => {
  let host, out, cli, uid, stop;
  before(async () => {
    host = await Host.boot({ config: CONFIG });
    ({ out, cli, uid, stop } = helpers(host));
    await host.vm.sh('mkfs.btrfs -q /dev/ubdb && mount /dev/ubdb /data && systemd-tmpfiles --create');
  });
  after(() => host?.end());
  /** What a tenant could do with a login of his own: as his user, but not inside, where the tool's ways to make subvolumes are closed. */
  const login = (id, script) =>
    host.vm.sh(`cd /data/instances/${id} && HOME=$PWD setpriv --reuid=$(stat -c %u .) --regid=$(stat -c %g .) --clear-groups bash -ec '${script}'`);
  const isSubvolume = async (path) => (await out(`stat -c %i ${path}`)) === '256';

  test('a home is a subvolume, its user\'s and private', async () => {
    await host.probe('anna');
    await host.open('anna');
    assert.ok(await isSubvolume('/data/instances/anna'));
    const owner = await out('getent passwd hc-anna | cut -d: -f3');
    assert.equal(await out('stat -c %u:%g:%a /data/instances/anna'), `${owner}:${owner}:700`);
    assert.equal((await host.inside('anna', 'stat -c %U:%a ~')).stdout.trim(), 'user:700');
    assert.equal(await out('ls -A /data/instances | grep -v -e anna || true'), '');
    assert.equal(await out('stat -c %u:%a /data/snapshots /data/templates'), '0:700\n0:700');
  });

  test('a template is made of one instance, and new ones begin with it, at once and nearly for nothing', async () => {
    await furnish(host, 'anna');
    const { code, stderr } = await cli('template anna course', { check: false });
    assert.equal(code, 75);
    assert.match(stderr, /anna runs: stop it first/);
    await stop('anna');
    assert.match((await cli('template anna courses', { check: false })).stderr, /no \[class.courses\]/);
    await cli('template anna course');
    assert.equal(await out('cd /data/templates/course; find . ! -uid 0; ls -A . .hoody-code'), '.:\n.hoody-code\n\n.hoody-code:\nextensions\nuser-data');
    assert.ok(await isSubvolume('/data/templates/course'));
    await cli('start anna');

    await host.open('pia');
    const own = await uid('pia');
    assert.equal(await out(`cd /data/instances/pia; find . ! -uid ${own} -o ! -gid ${own}; cat .hoody-code/user-data/User/settings.json; stat -c %a .`), '{"editor.fontSize": 21}\n700');
    assert.equal(await out('diff -r /data/templates/course/.hoody-code/extensions/course.ts-1.0.0 /data/instances/pia/.hoody-code/extensions/course.ts-1.0.0'), '');
    const { extensions } = JSON.parse((await host.vm.sh('hoody-code extensions list --instance pia --json', { timeout: 60_000 })).stdout);
    assert.ok(Array.isArray(extensions) || extensions === undefined);

    // By itself, without a start around it. Times in this machine are no figures; these are for whoever reads.
    const measure = async (class_) => {
      const made = await out(`used() { sync; btrfs filesystem sync /data; btrfs filesystem df -b /data | sed -n 's/^[DMS].*used=//p' | awk '{ all += $1 } END { printf "%.0f", all }'; }
        before=$(used); began=$(date +%s%N)
        /usr/bin/hoody-code-broker volume '{"id":"measured","uid":2000399990,"running":false,"what":{"make":{"class":"${class_}"}}}' </dev/null 0>/tmp/answer
        ended=$(date +%s%N); after=$(used)
        echo $(( (ended - began) / 1000 )) $(( after - before )) $(find /data/instances/measured | wc -l) $(du -sb /data/instances/measured | cut -f1)
        btrfs -q subvolume delete -c /data/instances/measured; btrfs subvolume sync /data >/dev/null`, { timeout: 60_000 });
      const [micros, bytes, files, size] = made.split(' ').map(Number);
      console.log(`a home of ${files} files and ${size} bytes: ${micros} µs, ${bytes} bytes of disk`);
      assert.ok(micros < 5e6, made);
      return { bytes, files, size };
    };
    // Each file is given to its user, which is written: about a kilobyte. Contents are shared.
    const large = await measure('course');
    assert.ok(large.files > 1000 && large.bytes < 1500 * large.files && large.bytes < large.size / 10, JSON.stringify(large));
    await host.vm.sh(`btrfs -q subvolume snapshot /data/templates/course /data/templates/some; cd /data/templates/some/.hoody-code/extensions/course.ts-1.0.0
      for one in *; do [ $(find . | wc -l) -lt 800 ] || rm -rf "$one"; done`);
    const some = await measure('some');
    assert.ok(some.files > 300 && some.bytes < 1e6, JSON.stringify(some));
  });

  test('what somebody else could have put into a template keeps its class from starting, and says so', async () => {
    await host.vm.sh('cp /bin/true /data/templates/course/tool; chmod 4755 /data/templates/course/tool');
    assert.notEqual((await cli('start paul', { check: false })).code, 0);
    assert.match(await out('journalctl --sync; journalctl -q --no-pager -u hoody-code-broker'), /tool: it is setuid or setgid/);
    assert.equal(await out('ls -A /data/instances | grep paul || true'), '');
    await host.vm.sh('rm /data/templates/course/tool');
    await cli('start paul');
  });

  test('a limit holds for all of its subvolumes', async () => {
    await host.probe('sam');
    await host.open('sam');
    const write = (mb, to) => host.inside('sam', `dd if=/dev/urandom of=${to} bs=1M count=${mb} conv=fsync status=none`, { check: false });
    assert.equal((await write(20, '~/a')).code, 0);
    const over = await write(80, '~/b');
    assert.match(over.stderr, /[Qq]uota exceeded/);
    await host.inside('sam', 'rm -f ~/b; sync ~');
    for (const way of ['create ~/own', 'snapshot ~ ~/own']) {
      assert.match((await host.inside('sam', `btrfs subvolume ${way}`, { check: false })).stderr, /Inappropriate ioctl/, 'it could say that it is in no group');
    }
    await login('sam', 'btrfs -q subvolume create inner');
    await host.vm.sh('btrfs filesystem sync /data');
    assert.match((await write(60, '~/inner/c')).stderr, /[Qq]uota exceeded/);
    // Others go on, and what the kernel counts is there to be read.
    await host.inside('anna', 'head -c 80M /dev/urandom >~/big && sync ~/big && rm ~/big');
    const group = `/sys/fs/btrfs/*/qgroups/1_${await uid('sam')}`;
    assert.equal(await out(`cat ${group}/max_referenced`), String(64 * MB));
    assert.ok(Number(await out(`cat ${group}/referenced`)) > 20 * MB);
    // A higher limit holds at once.
    await host.configure(CONFIG.replace('64M', '256M'));
    await host.until('the new limit', async () => (await out(`cat ${group}/max_referenced`)) === String(256 * MB));
    await host.inside('sam', 'rm -f ~/inner/c; sync ~');
    assert.equal((await write(80, '~/b')).code, 0);
    await host.inside('sam', 'rm -f ~/b ~/a');
  });

  test('nobody waits for a job on files, least of all who would have it set back', async () => {
    const quick = { timeout: 10_000 };
    let making;
    await host.vm.sh('fsfreeze -f /data');
    try {
      making = cli('snapshot anna slow');
      making.catch(() => {});
      await host.until('the job is under way', async () => (await out('systemctl is-active hoody-code-volume@anna || true')) === 'activating');
      for (const verb of ['lower', 'freeze']) {
        assert.equal((await host.broker({ verb, id: 'anna' }, quick)).refused.code, 'conflict', verb);
      }
      assert.deepEqual(await host.broker({ verb: 'thaw', id: 'anna' }, quick), { ok: 'done' });
    } finally {
      await host.vm.sh('fsfreeze -u /data');
    }
    await making;
    for (const verb of ['lower', 'raise']) assert.deepEqual(await host.broker({ verb, id: 'anna' }), { ok: 'done' });
    await cli('snapshot anna slow --delete');
  });

  test('snapshots: made while it runs, unchangeable, restored with what was there kept', async () => {
    await host.inside('anna', 'echo one >~/file; mkdir ~/dir; ln -s /etc/shadow ~/link');
    await login('anna', 'btrfs -q subvolume create inner; echo x >inner/x');
    const { stdout, stderr } = await cli('snapshot anna first');
    assert.equal(stdout, 'anna snapshot first\n');
    assert.match(stderr, /1 subvolumes within/);
    assert.match((await cli('snapshot anna first', { check: false })).stderr, /a snapshot first already/);
    assert.equal((await cli('snapshot anna ../x', { check: false })).code, 64);
    assert.match((await host.vm.sh('touch /data/snapshots/anna/first/x', { check: false })).stderr, /Read-only/);
    await host.inside('anna', 'echo two >~/file');
    const { snapshots } = JSON.parse((await cli('snapshots anna --json')).stdout);
    assert.equal(snapshots.length, 1);
    assert.ok(Math.abs(Date.parse(snapshots[0].made) - Date.parse(await out('date --iso-8601=seconds'))) < 600_000, snapshots[0].made);

    const refused = await cli('restore anna first', { check: false });
    assert.equal(refused.code, 75);
    assert.match(refused.stderr, /stop it first/);
    await stop('anna');
    const kept = /snapshot (before-restore-[-0-9]+)/.exec((await cli('restore anna first')).stdout)[1];
    const own = await uid('anna');
    assert.equal(await out(`cat /data/snapshots/anna/${kept}/file /data/snapshots/anna/${kept}/inner/x /data/instances/anna/file; readlink /data/instances/anna/link`), 'two\nx\none\n/etc/shadow');
    assert.equal(await out(`find /data/instances/anna ! -uid ${own}`), '');
    await cli('start anna');
    await host.open('anna');
    // In the place of the subvolume is a directory that can be used.
    assert.equal((await host.inside('anna', 'cat ~/file; echo y >~/inner/y; cat ~/inner/*')).stdout, 'one\ny\n');
    await cli(`snapshot anna ${kept} --delete`);
    assert.equal((await cli(`snapshot anna ${kept} --delete`, { check: false })).code, 75);
    assert.match((await cli('snapshots anna')).stdout, /^SNAPSHOT +MADE *\nfirst .*\n$/);
    assert.equal((await cli('snapshot nobody', { check: false })).code, 66);
  });

  test('sent to another host, where its user has another number', async () => {
    // A host is a directory here: what was anna's becomes that of one whom nobody knows yet.
    await host.vm.sh('mkdir -m 700 /data/snapshots/newcomer; btrfs send -q /data/snapshots/anna/first | btrfs receive -q /data/snapshots/newcomer', { timeout: 60_000 });
    assert.match((await cli('restore newcomer second', { check: false })).stderr, /no snapshot second/);
    // And the difference to a later one.
    await cli('snapshot anna later');
    await host.vm.sh('btrfs send -q -p /data/snapshots/anna/first /data/snapshots/anna/later | btrfs receive -q /data/snapshots/newcomer', { timeout: 60_000 });
    await cli('snapshot anna later --delete');
    await cli('restore newcomer later');
    const own = await uid('newcomer');
    assert.notEqual(own, await uid('anna'));
    assert.equal(await out(`find /data/instances/newcomer ! -uid ${own} -o ! -gid ${own}; stat -c %a /data/instances/newcomer; cat /data/instances/newcomer/file`), '700\none');
    await cli('start newcomer');
    await host.open('newcomer');
    assert.equal((await cli('restore stranger first', { check: false })).code, 66);
    assert.equal(await out('ls /var/lib/hoody-code-broker/accounts | grep stranger || true'), '');
  });

  test('removed, its files and snapshots stay; purged, all goes, subvolumes that it has made and sealed too', async () => {
    await cli('remove anna');
    assert.equal(await out('cat /data/instances/anna/file; ls /data/snapshots/anna'), 'one\nfirst');
    await cli('start anna');
    await host.open('anna');
    await login('anna', `btrfs -q subvolume create ~/outer; btrfs -q subvolume create ~/outer/within; mkdir ~/outer/within/d; echo x >~/outer/within/d/x
      btrfs -q subvolume snapshot -r ~/outer ~/sealed; btrfs -q subvolume create ~/outer/within/d/deep
      btrfs property set ~/outer/within ro true; btrfs property set ~/outer ro true; chmod 000 ~/dir`);
    const others = await out('btrfs subvolume list /data | grep -c -v anna');
    const { stdout } = await cli('remove anna --purge');
    assert.equal(stdout, 'anna purged\n');
    assert.equal(await out('ls -A /data/instances /data/snapshots | grep anna || true; btrfs subvolume list /data | grep anna || true'), '');
    assert.equal(await out('btrfs subvolume list /data | wc -l'), others);
    assert.equal(await out('ls /var/lib/hoody-code-broker/accounts | grep anna || true'), '');
  });

  test('a home from before is a directory: it goes on, and is made a subvolume by a snapshot and its restoration', async () => {
    await host.vm.sh('mkdir -m 700 /data/instances/old; echo precious >/data/instances/old/file; chown -R 2000300077:2000300077 /data/instances/old');
    await host.probe('old');
    await host.open('old');
    await login('old', 'btrfs -q subvolume create ~/inner; btrfs -q subvolume snapshot -r ~/inner ~/sealed');
    assert.match((await cli('snapshot old first', { check: false })).stderr, /it runs, and a home that is no subvolume/);
    await stop('old');
    await cli('snapshot old first');
    await cli('restore old first');
    assert.ok(await isSubvolume('/data/instances/old'));
    assert.equal(await out('cat /data/instances/old/file; stat -c %u /data/instances/old/file'), 'precious\n2000300077');
    await cli('start old');
    await host.open('old');
    await cli('remove old --purge');
    assert.equal(await out('ls -A /data/instances /data/snapshots | grep old || true; btrfs subvolume list /data | grep old || true'), '');
  });
});

describe('on ext4', { timeout: 600_000 }, () => {
  let host, out, cli, uid, stop;
  before(async () => {
    host = await Host.boot({ config: CONFIG });
    ({ out, cli, uid, stop } = helpers(host));
  });
  after(() => host?.end());

  test('templates and snapshots are copies', async () => {
    await host.probe('anna');
    await host.open('anna');
    await furnish(host, 'anna');
    await host.inside('anna', 'echo one >~/file; truncate -s 1T ~/hole; mkfifo ~/pipe');
    assert.match((await cli('snapshot anna first', { check: false })).stderr, /it runs, and a home that is no subvolume is copied at rest only/);
    await stop('anna');
    await cli('template anna course');
    await cli('snapshot anna first');
    assert.equal(await out('stat -c %u:%a /data/snapshots/anna; cat /data/snapshots/anna/first/file; find /data/snapshots/anna/first ! -uid 0'), '0:700\none');
    await host.vm.sh('echo two >/data/instances/anna/file');
    const kept = /snapshot (before-restore-[-0-9]+)/.exec((await cli('restore anna first')).stdout)[1];
    const own = await uid('anna');
    assert.equal(await out(`cat /data/snapshots/anna/${kept}/file /data/instances/anna/file; find /data/instances/anna ! -uid ${own}; stat -c %s /data/instances/anna/hole`), `two\none\n${2 ** 40}`);
    await cli('start anna');
    await host.open('anna');
    await host.open('pia');
    assert.equal(await out('cat /data/instances/pia/.hoody-code/user-data/User/settings.json; ls -A /data/instances/pia | grep -e netrc -e history || true'), '{"editor.fontSize": 21}');
    assert.equal(await out(`find /data/instances/pia ! -uid ${await uid('pia')}; stat -c %a /data/instances/pia`), '700');
    await cli('remove anna --purge');
    assert.equal(await out('ls -A /data/instances /data/snapshots | grep anna || true'), '');
  });

  test('a limit holds for the user, and another one at once', async () => {
    await host.probe('sam');
    await host.open('sam');
    const engine = await host.engine('sam');
    const write = () => host.inside('sam', 'rm -f ~/b; head -c 80M /dev/zero >~/b', { check: false });
    assert.match((await write()).stderr, /[Qq]uota exceeded/);
    await host.configure(CONFIG.replace('64M', '256M'));
    await host.until('the new limit', async () => (await write()).code === 0);
    // What is there beyond a lower one stays; there is no more.
    await host.configure(CONFIG);
    await host.until('the old limit', async () => /[Qq]uota exceeded/.test((await host.inside('sam', 'head -c 1M /dev/zero >>~/more', { check: false })).stderr));
    assert.equal(await out('stat -c %s /data/instances/sam/b'), String(80 * MB));
    await host.inside('sam', 'rm -f ~/b; echo x >~/more');
    assert.equal(await host.engine('sam'), engine);
  });
});
