// A network between browser and daemon that can be pulled out: plain TCP, cut and mended on demand.

import net from 'node:net';

/** Starts it in front of `port`; `cut()` breaks every connection and takes no more, `mend()` takes them again. */
export async function link(t, port) {
  const open = new Set();
  let up = true;
  const server = net.createServer((near) => {
    if (!up) return near.destroy();
    const far = net.connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy()).on('close', () => open.delete(one) && other.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    cut() {
      up = false;
      for (const socket of open) socket.destroy();
    },
    mend: () => void (up = true),
  };
}
