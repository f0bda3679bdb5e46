// A TCP relay that counts: what really goes over the wire, from every worker and frame, websockets in their compressed form.

import net from 'node:net';

/** Listens on loopback and passes everything on to `address`. */
export async function startRelay(address) {
  const sockets = new Set();
  const relay = { http: 0, websocket: 0, up: 0, acceptEncoding: undefined };
  const server = net.createServer((client) => {
    let kind = 'http';
    const upstream = net.connect(address);
    for (const [from, to, way] of [[client, upstream, 'up'], [upstream, client, 'down']]) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (chunk) => {
        if (way === 'down') {
          relay[kind] += chunk.length;
          return;
        }
        relay.up += chunk.length;
        if (kind === 'websocket') return;
        const text = chunk.latin1Slice();
        if (/^GET .*\r\nupgrade: *websocket\r\n/is.test(text)) kind = 'websocket';
        // What a browser says it accepts is the same on every request for a file.
        relay.acceptEncoding ??= /\r\naccept-encoding: *([^\r]*)/i.exec(text)?.[1];
      });
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
      from.pipe(to);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  relay.port = server.address().port;
  relay.end = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return relay;
}
